// Elements without markup strings: text is always text.

// properties: DOM properties; `dataset` and `attributes` are objects of their own.
export function element(tag, { dataset = {}, attributes = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, dataset);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
