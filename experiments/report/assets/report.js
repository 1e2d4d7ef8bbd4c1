// Unpacks plotly and draws the figures with the page's own colours, again when the reader changes from light to dark.
(async () => {
  const nonce = document.currentScript.nonce;

  // Python's base 85: five characters are four bytes.
  const bytes = text => {
    const value = new Uint8Array(128);
    [..."0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~"].forEach(
      (character, i) => { value[character.charCodeAt(0)] = i; });
    const groups = Math.ceil(text.length / 5), full = text.padEnd(5 * groups, "~"), out = new DataView(new ArrayBuffer(4 * groups));
    for (let g = 0; g < groups; g++) {
      let number = 0;
      for (let i = 5 * g; i < 5 * g + 5; i++) number = 85 * number + value[full.charCodeAt(i)];
      out.setUint32(4 * g, number);
    }
    return new Uint8Array(out.buffer, 0, 4 * groups - (full.length - text.length));
  };

  const load = async () => {
    const packed = new Blob([bytes(document.getElementById("plotly").textContent)]).stream();
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).text();
    document.head.append(script);
  };

  const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  // A string "var:NAME" anywhere in a figure stands for the CSS variable --NAME.
  const themed = value => {
    if (typeof value === "string") return value.startsWith("var:") ? colour(value.slice(4)) : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
    return value;
  };

  const axis = given => ({
    gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true,
    ...given, title: { standoff: 12, ...given.title },
  });

  const figures = [...document.querySelectorAll(".plot")].map(
    place => [place, JSON.parse(place.querySelector("script").textContent)]);

  const draw = ([place, { data, layout }]) => {
    const own = themed(layout);
    const full = {
      ...own,
      xaxis: axis(own.xaxis),
      yaxis: axis(own.yaxis),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 56, r: 12, t: 12, b: 48 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("ink") },
      hoverlabel: {
        bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") }, align: "left",
      },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemwidth: 30 },
    };
    Plotly.react(place, themed(data), full, { displayModeBar: false, responsive: true });
  };

  // What is folded has no width yet: it is drawn when it is opened. A table that scrolls can be reached by keys.
  const show = () => {
    figures.filter(([place]) => place.offsetParent).forEach(draw);
    document.querySelectorAll(".scroll, pre").forEach(
      place => { if (place.scrollWidth > place.clientWidth) place.tabIndex = 0; });
  };

  try {
    await load();
  } catch (error) {
    figures.forEach(([place]) => { place.textContent = `A newer browser is needed for this plot (${error.message}).`; });
    return;
  }
  show();
  document.querySelectorAll("details").forEach(folded => folded.addEventListener("toggle", show));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
})();
