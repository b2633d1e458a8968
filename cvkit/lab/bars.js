// Rows with a name, a bar and a sign, of which one is chosen: by a click, or by the arrow keys.
function render({ model, el }) {
  const list = document.createElement("div");
  list.className = "cvkit-bars";
  list.setAttribute("role", "listbox");
  el.append(list);
  let rows = [];

  function part(name, text) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = text;
    return cell;
  }

  function build() {
    list.setAttribute("aria-label", model.get("words"));
    rows = model.get("rows").map((row, place) => {
      const line = document.createElement("div");
      line.setAttribute("role", "option");
      line.title = row.more;
      line.append(part(`cvkit-sign cvkit-${row.state}`, row.sign), part("cvkit-name", row.name));
      const bar = part("cvkit-bar", "");
      bar.append(document.createElement("i"));
      bar.firstChild.style.width = `${100 * row.share}%`;
      line.append(bar, part("cvkit-words", row.words));
      line.addEventListener("click", () => choose(place));
      return line;
    });
    list.replaceChildren(...rows);
    mark();
  }

  function mark() {
    rows.forEach((line, place) => {
      line.setAttribute("aria-selected", place === chosen());
      line.tabIndex = place === Math.max(chosen(), 0) ? 0 : -1;
    });
  }

  // By key, not by number: the kernel may be about to put the rows into another order.
  function chosen() {
    return model.get("rows").findIndex((row) => row.key === model.get("chosen"));
  }

  function choose(place) {
    model.set("chosen", model.get("rows")[place].key);
    model.save_changes();
  }

  list.addEventListener("keydown", (event) => {
    const place = rows.indexOf(event.target.closest("[role=option]"));
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (place < 0 || !(step || event.key === "Enter" || event.key === " ")) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.max(0, Math.min(rows.length - 1, place + (step || 0)));
    rows[next].focus();
    if (!step) choose(next);
  });
  model.on("change:rows", () => {
    const inside = list.contains(document.activeElement);
    build();
    if (inside) rows[Math.max(chosen(), 0)]?.focus();
  });
  model.on("change:chosen", mark);
  build();
}
export default { render };
