export function failure(call: () => unknown) {
  try {
    call();
    return undefined;
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    return { code, syscall, message };
  }
}
