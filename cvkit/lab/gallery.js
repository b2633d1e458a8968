// Small pictures that come as they are scrolled to, with boxes, to be walked with the keys and picked.
const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  const keys = () => `arrow keys walk, Enter enlarges, Escape closes${model.get("pickable") ? ", space picks" : ""}`;
  const grid = document.createElement("div");
  grid.className = "cvkit-gallery";
  grid.setAttribute("role", "listbox");
  grid.setAttribute("aria-multiselectable", "true");
  grid.setAttribute("aria-label", `Images: ${keys()}`);
  const large = document.createElement("dialog");
  large.className = "cvkit-large";
  large.setAttribute("aria-label", `One image, large: ${keys()}`);
  el.append(grid, large);

  let turning = 0;
  let tiles = [];
  let addresses = [];
  let shown = -1;
  const watcher = new IntersectionObserver((entries) => {
    const wanted = entries.filter((entry) => entry.isIntersecting).map((entry) => Number(entry.target.dataset.place));
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => watcher.unobserve(entry.target));
    if (wanted.length) model.send({ kind: "want", round: model.get("round"), places: wanted });
  }, { rootMargin: "200px" });

  function build() {
    watcher.disconnect();
    addresses.forEach((address) => URL.revokeObjectURL(address));
    addresses = [];
    close();
    tiles = model.get("tiles").map((tile, place) => figure(tile, place));
    grid.replaceChildren(...tiles);
    tiles.forEach((tile) => watcher.observe(tile));
    if (tiles[0]) tiles[0].tabIndex = 0;
    mark();
    if (turning && tiles.length) go(turning > 0 ? 0 : tiles.length - 1);
    turning = 0;
  }

  function figure(tile, place) {
    const box = document.createElement("figure");
    box.dataset.place = place;
    box.tabIndex = -1;
    box.setAttribute("role", "option");
    box.setAttribute("aria-label", tile.caption);
    box.append(canvas(tile), caption(tile));
    box.addEventListener("click", (event) => (event.target.closest(".cvkit-pick") ? pick(place) : open(place)));
    return box;
  }

  function caption(tile) {
    const line = document.createElement("figcaption");
    const picked = document.createElement("span");
    picked.className = "cvkit-pick";
    picked.title = "pick for labelling";
    const words = document.createElement("span");
    words.textContent = tile.caption;
    line.append(...(model.get("pickable") ? [picked, words] : [words]));
    return line;
  }

  function canvas(tile) {
    const frame = document.createElement("div");
    frame.className = "cvkit-frame";
    frame.style.aspectRatio = `${tile.width || 4} / ${tile.height || 3}`;
    frame.style.setProperty("--ratio", (tile.width || 4) / (tile.height || 3));
    const image = document.createElement("img");
    image.alt = "";
    image.hidden = true;
    frame.append(image, drawn(tile));
    return frame;
  }

  function names(tile) {
    return [["true", tile.truth], ["said", tile.said]].flatMap(([kind, boxes]) => boxes.map(([x1, y1, , y2, name]) => {
      const word = document.createElement("span");
      word.className = `cvkit-boxed ${kind}`;
      word.textContent = name;
      word.style.left = `${(100 * Math.max(x1, 0)) / (tile.width || 1)}%`;
      word.style.top = `${(100 * (kind === "said" ? y1 : y2)) / (tile.height || 1)}%`;
      return word;
    }));
  }

  function drawn(tile) {
    const sheet = document.createElementNS(SVG, "svg");
    sheet.setAttribute("viewBox", `0 0 ${tile.width || 1} ${tile.height || 1}`);
    for (const [kind, boxes] of [["true", tile.truth], ["said", tile.said]]) {
      for (const [x1, y1, x2, y2, name] of boxes) {
        for (const layer of ["ground", kind]) {
          const shape = document.createElementNS(SVG, "rect");
          const values = { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), class: layer };
          Object.entries(values).forEach(([key, value]) => shape.setAttribute(key, value));
          if (layer === kind) {
            const title = document.createElementNS(SVG, "title");
            title.textContent = `${kind === "true" ? "label" : "model"}: ${name}`;
            shape.append(title);
          }
          sheet.append(shape);
        }
      }
    }
    return sheet;
  }

  function mark() {
    const picked = new Set(model.get("picked"));
    grid.classList.toggle("cvkit-hide-said", !model.get("said"));
    grid.classList.toggle("cvkit-hide-true", !model.get("truth"));
    large.classList.toggle("cvkit-hide-said", !model.get("said"));
    large.classList.toggle("cvkit-hide-true", !model.get("truth"));
    tiles.forEach((tile, place) => tile.setAttribute("aria-selected", picked.has(model.get("tiles")[place].key)));
    const now = model.get("tiles")[shown];
    large.classList.toggle("cvkit-picked", Boolean(now) && picked.has(now.key));
  }

  function pick(place) {
    if (!model.get("pickable")) return;
    const key = model.get("tiles")[place].key, before = model.get("picked");
    model.set("picked", before.includes(key) ? before.filter((one) => one !== key) : [...before, key]);
    model.save_changes();
  }

  function turn(by) {
    turning = by;
    model.set("turned", model.get("turned") + by);
    model.save_changes();
  }

  function go(place) {
    const next = Math.max(0, Math.min(tiles.length - 1, place));
    tiles.forEach((tile) => (tile.tabIndex = -1));
    tiles[next].tabIndex = 0;
    tiles[next].focus();
    return next;
  }

  function open(place) {
    shown = place;
    const tile = model.get("tiles")[place];
    const frame = canvas(tile);
    frame.append(...names(tile));
    large.replaceChildren(frame, caption(tile));
    if (!large.open) large.showModal();
    model.send({ kind: "large", round: model.get("round"), places: [place] });
    mark();
  }

  function close() {
    if (large.open) large.close();
    large.replaceChildren();
    const last = shown;
    shown = -1;
    return last;
  }

  function step(key) {
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    return { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -1e9, End: 1e9 }[key];
  }

  function handled(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  grid.addEventListener("keydown", (event) => {
    const place = Number(event.target.closest("figure")?.dataset.place ?? -1);
    if (place < 0) return;
    const next = place + (step(event.key) || 0);
    if (event.key === "PageDown" || (next >= tiles.length && event.key === "ArrowRight")) turn(1);
    else if (event.key === "PageUp" || (next < 0 && event.key === "ArrowLeft")) turn(-1);
    else if (next !== place) go(next);
    else if (event.key === "Enter") open(place);
    else if (event.key === " ") pick(place);
    else return;
    handled(event);
  });
  large.addEventListener("keydown", (event) => {
    if (event.key === "Escape" || event.key === "Enter") go(close());
    else if (step(event.key)) open(Math.max(0, Math.min(tiles.length - 1, shown + Math.sign(step(event.key)))));
    else if (event.key === " ") pick(shown);
    else return;
    handled(event);
  });
  large.addEventListener("cancel", (event) => {
    event.preventDefault();
    go(close());
  });
  large.addEventListener("click", (event) => (event.target.closest(".cvkit-pick") ? pick(shown) : go(close())));

  model.on("msg:custom", (message, buffers) => {
    if (message.round !== model.get("round")) return;
    const frame = message.kind === "large" ? (message.place === shown ? large : null) : tiles[message.place];
    if (!frame || !frame.querySelector(".cvkit-frame")) return;
    if (message.broken) {
      const words = document.createElement("p");
      words.textContent = `cannot be shown: ${message.broken}`;
      frame.querySelector("img")?.replaceWith(words);
      return;
    }
    const address = URL.createObjectURL(new Blob([buffers[0]], { type: "image/jpeg" }));
    addresses.push(address);
    const image = frame.querySelector("img");
    image.src = address;
    image.hidden = false;
  });
  model.on("change:round", build);
  model.on("change:picked change:said change:truth", mark);
  build();
  return () => {
    watcher.disconnect();
    close();
    addresses.forEach((address) => URL.revokeObjectURL(address));
  };
}
export default { render };
