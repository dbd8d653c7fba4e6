// How is a page written? `html` makes elements of a template; what is put into it is text, never markup.

import htm from './vendor/htm.js';
import { Fragment, h } from './vendor/preact.js';

export { render } from './vendor/preact.js';
export * from './vendor/hooks.js';
export { Fragment };
export const html = htm.bind(h);
