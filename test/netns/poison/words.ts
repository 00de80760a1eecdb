/** What the payload of a packet begins with over which the engine of the build for tests stumbles. */
export const THROW = 'natgate-test-throw';
export const HANG = 'natgate-test-hang';
