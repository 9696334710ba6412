// Elements without markup strings: text is always text.

export const byId = (id) => document.getElementById(id);

// properties: DOM properties; `dataset` is an object of its own.
export function element(tag, { dataset = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, dataset);
  node.append(...children);
  return node;
}
