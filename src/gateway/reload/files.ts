/** Files of the run directory that have to do with reloads; they go with it. */
export const APPLIED = 'applied.json';
export const REQUEST = 'reload.request';
export const RESULT = 'reload.json';
export const RELOAD_FILES = [APPLIED, REQUEST, RESULT] as const;
