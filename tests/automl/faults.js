// What is wrong with a page as it stands, in words: run by test_pages.py, which wants none.
(() => {
  const found = [];
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const name = (node) => `<${node.tagName.toLowerCase()} id="${node.id}" class="${node.getAttribute("class") ?? ""}">`;

  // contrast of text, WCAG 2.2, 1.4.3: 4.5, and 3 for large letters
  const rgba = (css) => {
    const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
  const behind = (node) => {
    const back = node ? rgba(getComputedStyle(node).backgroundColor) : [255, 255, 255, 1];
    return back[3] === 1 ? back.slice(0, 3) : over(back, behind(node.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  const written = [...document.querySelectorAll("input, textarea")];
  while (walker.nextNode()) if (walker.currentNode.textContent.trim()) written.push(walker.currentNode.parentElement);
  for (const node of new Set(written)) {
    if (!shown(node) || node.closest("noscript, option")) continue;
    texts++;
    const style = getComputedStyle(node);
    const back = behind(node);
    const ink = over(rgba(node.closest("svg") ? style.fill : style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) {
      found.push(`contrast ${ratio.toFixed(2)} of ${name(node)}: ${node.textContent.slice(0, 40)}`);
    }
  }
  if (!texts) found.push("no text was looked at");

  // nothing to the right of the window
  if (document.documentElement.scrollWidth > innerWidth) found.push(`scrolls sideways: ${document.documentElement.scrollWidth}`);
  for (const node of document.body.querySelectorAll("*")) {
    const box = node.getBoundingClientRect();
    if (shown(node) && box.width && box.right > innerWidth + 1 && !node.closest("svg *")) found.push(`beyond the right edge: ${name(node)}`);
  }

  // each control has a name, each id is one
  for (const node of document.querySelectorAll("input, select, textarea, button")) {
    const label = node.getAttribute("aria-label") || [...(node.labels ?? [])].map((l) => l.textContent.trim()).join("")
      || (node.tagName === "BUTTON" && node.textContent.trim());
    if (!label) found.push(`no label: ${name(node)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`twice: id ${id}`);
  for (const node of document.querySelectorAll("[aria-describedby]")) {
    if (!document.getElementById(node.getAttribute("aria-describedby"))) found.push(`described by nothing: ${name(node)}`);
  }
  for (const node of document.querySelectorAll("svg")) {
    if (!node.getAttribute("aria-label") && node.getAttribute("aria-hidden") !== "true") found.push(`a drawing without words: ${name(node)}`);
  }
  return found;
})();
