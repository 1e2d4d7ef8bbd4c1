// Draws every figure with the page's own colours, and again when the reader changes from light to dark.
(() => {
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

  const draw = () => figures.forEach(([place, { data, layout }]) => {
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
  });

  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
