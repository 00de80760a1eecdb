/** Dark or light: as the system has it, until somebody chooses. */

const KEY = 'natgate-theme';
const CHOICES = ['system', 'light', 'dark'] as const;

/** `changed`: the colours are others now. */
export function startTheme(button: HTMLButtonElement, changed: () => void): void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let choice = CHOICES.find((name) => name === localStorage.getItem(KEY)) ?? 'system';
  const apply = () => {
    const isDark = choice === 'dark' || (choice === 'system' && dark.matches);
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
    button.textContent = `Theme: ${choice}`;
    changed();
  };
  button.addEventListener('click', () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length]!;
    localStorage.setItem(KEY, choice);
    apply();
  });
  dark.addEventListener('change', apply);
  apply();
}
