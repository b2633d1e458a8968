// A picture with places that can be clicked or reached with the arrow keys, and a stretch that can be dragged.
function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "cvkit-picture";
  frame.tabIndex = 0;
  const image = document.createElement("img");
  image.draggable = false;
  const marked = document.createElement("div");
  marked.className = "cvkit-stretch";
  const hint = document.createElement("div");
  hint.className = "cvkit-place";
  const said = document.createElement("div");
  said.className = "cvkit-said";
  said.setAttribute("role", "status");
  frame.append(image, marked, hint);
  el.append(frame, said);

  const places = () => model.get("places");
  const percent = (share) => `${100 * share}%`;
  let address = "";

  function draw() {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    image.src = address;
    image.alt = model.get("words");
    frame.setAttribute("aria-label", model.get("words"));
    frame.setAttribute("role", places().length ? "application" : "img");
  }

  function mark() {
    const place = places()[model.get("chosen")];
    hint.hidden = !place;
    said.textContent = place ? place.name : "";
    if (place) {
      Object.assign(hint.style, { left: percent(place.x), top: percent(place.y), width: percent(place.w),
        height: percent(place.h) });
    }
    const stretch = model.get("stretch");
    marked.hidden = stretch.length !== 2;
    if (!marked.hidden) {
      marked.style.left = percent(stretch[0]);
      marked.style.width = percent(stretch[1] - stretch[0]);
    }
  }

  function put(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  function at(event) {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  const distance = (low, size, value) => Math.max(low - value, 0, value - low - size);

  function nearest(x, y) {
    const far = places().map((p) => distance(p.x, p.w, x) + distance(p.y, p.h, y));
    const least = Math.min(...far);
    return least < 0.03 ? far.indexOf(least) : -1;
  }

  let from = null;
  frame.addEventListener("pointerdown", (event) => {
    from = at(event);
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    const over = places()[nearest(x, y)];
    frame.title = over ? over.name : "";
    frame.style.cursor = over ? "pointer" : "";
    if (from && model.get("brush") && Math.abs(x - from[0]) > 0.01) {
      put("stretch", [Math.max(0, Math.min(from[0], x)), Math.min(1, Math.max(from[0], x))]);
    }
  });
  frame.addEventListener("pointerup", (event) => {
    const [x, y] = at(event);
    const moved = from && Math.abs(x - from[0]) > 0.01;
    from = null;
    if (moved && model.get("brush")) {
      put("brushed", model.get("brushed") + 1);
      return;
    }
    const place = nearest(x, y);
    if (place >= 0) put("chosen", place);
  });
  frame.addEventListener("keydown", (event) => {
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const way = ways[event.key];
    if (event.key === "Escape" && model.get("brush")) {
      model.set("stretch", []);
      put("brushed", model.get("brushed") + 1);
    }
    if (!way || !places().length) return;
    event.preventDefault();
    event.stopPropagation();
    put("chosen", beside(model.get("chosen"), way));
  });

  function beside(index, [right, down]) {
    const here = places()[index];
    if (!here) return 0;
    let best = index, least = Infinity;
    places().forEach((place, number) => {
      const across = place.x - here.x, along = place.y - here.y;
      const ahead = across * right + along * down;
      const aside = Math.abs(across * down) + Math.abs(along * right);
      if (ahead > 1e-6 && ahead + 4 * aside < least) {
        least = ahead + 4 * aside;
        best = number;
      }
    });
    return best;
  }

  model.on("change:png", draw);
  model.on("change:places change:chosen change:stretch", mark);
  draw();
  mark();
  return () => URL.revokeObjectURL(address);
}
export default { render };
