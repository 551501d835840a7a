'use strict';
// Run by the tests in a page that holds the report in frames: writes what it sees into a <pre>, as JSON.
function rgb(text) {
  return text.match(/[\d.]+/g).slice(0, 3).map(Number);
}
// WCAG 2.1, relative luminance.
function luminance(text) {
  const [r, g, b] = rgb(text).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function look(frame) {
  const page = frame.contentDocument;
  const style = (element) => frame.contentWindow.getComputedStyle(element);
  const body = style(page.body);
  const charts = [...page.querySelectorAll('figure .chart')].filter((chart) => chart.getBoundingClientRect().width > 0);
  const marks = charts.flatMap((chart) => [...chart.querySelectorAll('circle, rect')]);
  const lines = charts.flatMap((chart) => [...chart.querySelectorAll('polyline')]);
  const texts = charts.flatMap((chart) => [...chart.querySelectorAll('text')].map((text) => ({ chart, text })));
  const scale = (chart) => chart.getBoundingClientRect().width / chart.viewBox.baseVal.width;
  const panel = (element) => style(element.closest('figure')).backgroundColor;
  return {
    width: page.documentElement.clientWidth,
    scrollWidth: page.documentElement.scrollWidth,
    charts: charts.length,
    marks: marks.length,
    undrawn: [...lines, ...charts].filter((element) => {
      const { width, height } = element.getBBox();
      return !(width > 0 || height > 0);
    }).length,
    smallestLetter: Math.min(...texts.map(({ chart, text }) => parseFloat(style(text).fontSize) * scale(chart))),
    dark: luminance(body.backgroundColor) < 0.2,
    contrast: Math.min(contrast(body.color, body.backgroundColor), ...texts.map(({ text }) => contrast(style(text).fill, panel(text)))),
    lineContrast: Math.min(...lines.map((line) => contrast(style(line).stroke, panel(line)))),
  };
}
addEventListener('load', () => {
  const told = document.createElement('pre');
  told.textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(look));
  document.body.append(told);
});
