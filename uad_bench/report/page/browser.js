"use strict";
// The patient browser: slices on canvases, and the numbers of the whole scan at each threshold.
(() => {
  const id = (name) => document.getElementById(name);
  const facts = JSON.parse(id("browser-facts").textContent);
  const { rates, levels, scans } = facts;
  const colours = palette(facts.colours);
  const lineColours = { lesion: "#e69f00", ignored: "#56b4e9", mask: "#00e5ff" };
  const SCALE = 3;
  const NOTCH = 50; // pixels of a wheel that turn one slice
  const BRAIN = 1, LESION = 2, IGNORED = 4;

  const view = { scan: 0, slice: 0, step: facts.start, post: "", chosen: new Set(facts.chosen) };
  const packed = new Map();
  let shown = null; // the bytes of the slice that is drawn: of the scan, and then of each method
  let pulled = 0; // pixels of the wheel that have turned no slice yet
  let wanted = 0; // counts requests, so that a late answer draws nothing

  function palette(stops) {
    const rgb = stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    return Array.from({ length: 256 }, (_, level) => {
      const place = (level / 255) * (rgb.length - 1);
      const low = Math.min(Math.floor(place), rgb.length - 2);
      return rgb[low].map((one, k) => Math.round(one + (place - low) * (rgb[low + 1][k] - one)));
    });
  }

  async function inflated(text) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function unpacked(scan, at) {
    if (!packed.has(scan)) packed.set(scan, JSON.parse(id(`slices-${scan}`).textContent));
    const { methods } = scans[scan];
    const isShown = (part) => part === 0 || view.chosen.has(methods[part - 1].title);
    return Promise.all(
      packed.get(scan)[at].map((text, part) => (isShown(part) ? inflated(text) : null)));
  }

  const methodsOf = (scan) => scan.methods.filter((method) => view.chosen.has(method.title));

  // Numbers

  const mapOf = (method) => method.maps[view.post];

  function numbers(scan, method) {
    const map = mapOf(method), at = view.step;
    if (!map) return null;
    const found = map.true[at], wrong = map.false[at];
    return {
      threshold: map.thresholds[at],
      dice: map.lesion ? (2 * found) / (found + wrong + map.lesion) : null,
      wrong_ml: wrong * scan.voxel_ml,
      lesions: map.lesions,
      matched: map.matched[at],
      made_up: map.false_findings[at],
    };
  }

  // Rounds half to even, as Python does: toFixed rounds half up.
  function fixed(value, digits) {
    const isHalf = Number.isInteger(value * 2 ** (digits + 1)) && value * 2 ** digits % 1 !== 0;
    const text = value.toFixed(digits);
    return isHalf && Number(text.at(-1)) % 2 ? (value - 10 ** -digits / 2).toFixed(digits) : text;
  }

  const three = (value) => (value === null ? "n/a" : fixed(value, 3));

  function percent(rate) {
    const text = (100 * rate).toPrecision(2);
    return `${Number(text)} %`;
  }

  const ordinals = new Intl.PluralRules("en", { type: "ordinal" });

  function lowest(place) {
    const ending = { one: "st", two: "nd", few: "rd", other: "th" }[ordinals.select(place + 1)];
    return place ? `${place + 1}${ending} lowest` : "lowest";
  }

  function placeOf({ scan, dice }, place, count) {
    if (dice === null) return `${scan.name}: no Dice, because no map is shown or it has no lesion.`;
    if (count === 1) return `${scan.name}: Dice ${three(dice)}; no other scan of ${scan.dataset} is shown.`;
    return `${scan.name}: ${lowest(place)} Dice (${three(dice)}) ` +
      `of the ${count} scans shown of ${scan.dataset}.`;
  }

  function isEverywhere({ title }, dataset) {
    return scans.filter((scan) => scan.dataset === dataset)
      .every((scan) => scan.methods.some((method) => method.title === title));
  }

  function rank(scan) {
    const chosen = id("browser-by").value, mine = methodsOf(scan);
    const alike = mine.filter((method) => isEverywhere(method, scan.dataset));
    const values = (chosen !== "" ? mine : alike.length ? alike : mine)
      .filter((method) => chosen === "" || method.title === chosen)
      .map((method) => numbers(scan, method)?.dice)
      .filter((dice) => dice !== null && dice !== undefined);
    return values.length ? values.reduce((sum, one) => sum + one, 0) / values.length : null;
  }

  function fromWorst() {
    const here = scans[view.scan];
    return scans
      .map((scan, at) => ({ scan, at, dice: rank(scan) }))
      .filter((one) => one.scan.dataset === here.dataset)
      .sort((a, b) => (a.dice ?? 2) - (b.dice ?? 2) || a.at - b.at);
  }

  // Drawing

  function layer(scan, part, number) {
    const size = scan.width * scan.height;
    return shown[part].subarray(number * size, (number + 1) * size);
  }

  function paint(canvas, scan, colourOf) {
    const small = document.createElement("canvas");
    small.width = scan.width;
    small.height = scan.height;
    const image = new ImageData(scan.width, scan.height);
    for (let at = 0; at < scan.width * scan.height; at++) {
      const [red, green, blue] = colourOf(at);
      image.data.set([red, green, blue, 255], 4 * at);
    }
    small.getContext("2d").putImageData(image, 0, 0);
    canvas.width = scan.width * SCALE;
    canvas.height = scan.height * SCALE;
    canvas.getContext("2d").drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function outline(canvas, scan, isIn, colour, dash) {
    const { width, height } = scan, pen = canvas.getContext("2d");
    pen.strokeStyle = colour;
    pen.lineWidth = 2.5;
    pen.setLineDash(dash);
    pen.beginPath();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!isIn(y * width + x)) continue;
        const left = SCALE * x, top = SCALE * y, right = left + SCALE, bottom = top + SCALE;
        const edge = (inside, x1, y1, x2, y2) => {
          if (!inside) { pen.moveTo(x1, y1); pen.lineTo(x2, y2); }
        };
        edge(x > 0 && isIn(y * width + x - 1), left, top, left, bottom);
        edge(x < width - 1 && isIn(y * width + x + 1), right, top, right, bottom);
        edge(y > 0 && isIn((y - 1) * width + x), left, top, right, top);
        edge(y < height - 1 && isIn((y + 1) * width + x), left, bottom, right, bottom);
      }
    }
    pen.stroke();
  }

  function lesionLines(canvas, scan, kinds) {
    outline(canvas, scan, (at) => kinds[at] & IGNORED, lineColours.ignored, [3, 3]);
    outline(canvas, scan, (at) => kinds[at] & LESION, lineColours.lesion, []);
  }

  function draw() {
    const scan = scans[view.scan], kinds = layer(scan, 0, 1);
    const where = `${scan.name}, slice ${view.slice + 1} of ${scan.slices.length}`;
    const grey = (bytes) => (at) => [bytes[at], bytes[at], bytes[at]];
    for (const panel of document.querySelectorAll("#browser-panels canvas")) {
      const number = Number(panel.dataset.method), method = scan.methods[number];
      const map = method && mapOf(method);
      if (panel.dataset.kind === "map" && map) {
        const codes = layer(scan, number + 1, map.layer), at = map.at[view.step];
        const level = (code) => (code ? Math.round((255 * map.cuts[code - 1]) / map.top) : 0);
        paint(panel, scan, (pixel) => colours[level(codes[pixel])]);
        outline(panel, scan, (pixel) => codes[pixel] >= at, lineColours.mask, []);
      } else if (panel.dataset.kind === "reconstruction") {
        paint(panel, scan, grey(layer(scan, number + 1, method.reconstruction)));
      } else if (panel.dataset.kind === "input" || panel.dataset.kind === "lesion") {
        paint(panel, scan, grey(layer(scan, 0, 0)));
        if (panel.dataset.kind === "lesion") lesionLines(panel, scan, kinds);
      }
      panel.setAttribute("aria-label", `${panel.dataset.title}: ${where}`);
    }
  }

  // The parts of the page that follow the chosen scan

  function element(name, text, parent) {
    const made = document.createElement(name);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function panel(parent, kind, title, caption, method) {
    const figure = element("figure", "", parent);
    const canvas = element("canvas", "", figure);
    canvas.setAttribute("role", "img");
    canvas.dataset.kind = kind;
    canvas.dataset.title = title;
    if (method !== undefined) canvas.dataset.method = method;
    const scan = scans[view.scan];
    for (const [side, letter] of [["left", scan.left], ["right", scan.left === "R" ? "L" : "R"]]) {
      const mark = element("span", letter, figure);
      mark.className = `side ${side}`;
      mark.setAttribute("aria-hidden", "true");
    }
    element("figcaption", caption, figure);
  }

  function panels() {
    const scan = scans[view.scan], place = id("browser-panels");
    place.replaceChildren();
    const first = element("div", "", place);
    element("h3", scan.simulated ? "The scan (simulated)" : "The scan", first);
    const inputs = element("div", "", first);
    inputs.className = "pair";
    panel(inputs, "input", "Input", "input");
    panel(inputs, "lesion", "Lesion", "outline of the lesion");
    scan.methods.forEach((method, number) => {
      if (!view.chosen.has(method.title)) return;
      const map = mapOf(method), card = element("div", "", place);
      element("h3", method.title, card);
      const pair = element("div", "", card);
      pair.className = "pair";
      if (method.reconstruction === null) {
        element("p", "makes no reconstruction", pair).className = "absent";
      } else {
        panel(pair, "reconstruction", `${method.title}, reconstruction`, "reconstruction", number);
      }
      if (map) {
        const top = (map.top / levels).toPrecision(2);
        panel(pair, "map", `${method.title}, anomaly map`, `anomaly map, 0 to ${top}`, number);
      } else {
        element("p", "no map under this post-processing", pair).className = "absent";
      }
    });
  }

  function tell() {
    const scan = scans[view.scan], body = id("browser-numbers");
    body.replaceChildren();
    for (const method of methodsOf(scan)) {
      const one = numbers(scan, method), row = element("tr", "", body);
      element("th", method.title, row).scope = "row";
      const texts = !one ? ["–", "–", "–", "–", "–"] : [
        one.threshold > levels ? "above all" : (one.threshold / levels).toFixed(4),
        three(one.dice),
        fixed(one.wrong_ml, 2),
        `${one.matched} of ${one.lesions}`,
        String(one.made_up),
      ];
      for (const text of texts) element("td", text, row);
    }
    const rate = rates[view.step];
    const said = rate ? percent(rate) : "0 %: no healthy voxel reaches it";
    id("browser-rate").textContent = said;
    id("browser-threshold").setAttribute("aria-valuetext", said);
    const slice = `${view.slice + 1} of ${scan.slices.length}`;
    id("browser-at").textContent = slice;
    id("browser-slice").setAttribute("aria-valuetext", slice);
    const order = fromWorst(), place = order.findIndex((one) => one.at === view.scan);
    const place_text = placeOf(order[place], place, order.length), status = id("browser-place");
    if (status.textContent !== place_text) status.textContent = place_text; // is read aloud
    id("browser-printed").textContent =
      `Slice ${slice}. Map: ${view.post}. Threshold: reached by ${said} of the healthy voxels.`;
    end(id("browser-next"), id("browser-before"), place === order.length - 1);
    end(id("browser-before"), id("browser-next"), place === 0);
  }

  // A button that does no more hands the keyboard on to the other one.
  function end(button, other, isAtEnd) {
    if (isAtEnd && document.activeElement === button) {
      other.disabled = false;
      other.focus();
    }
    button.disabled = isAtEnd;
  }

  async function show() {
    const mine = ++wanted;
    id("browser").dataset.wanted = String(mine);
    tell();
    try {
      const bytes = await unpacked(view.scan, view.slice);
      if (mine !== wanted) return;
      shown = bytes;
      draw();
    } catch (error) {
      if (mine !== wanted) return;
      panels(); // rather nothing than another slice
      id("browser-place").textContent =
        `This browser cannot show the slices (${error.message}). Try one of 2023 or newer.`;
    }
    id("browser").dataset.ready = String(mine);
  }

  function choosePost() {
    const scan = scans[view.scan], select = id("browser-post");
    const names = [...new Set(scan.methods.flatMap((method) => Object.keys(method.maps)))];
    if (!names.includes(view.post)) view.post = names[names.length - 1];
    select.replaceChildren();
    for (const name of names) element("option", name, select).value = name;
    select.value = view.post;
  }

  function chooseBy() {
    const select = id("browser-by"), before = select.value;
    select.replaceChildren();
    element("option", "mean of the methods shown", select).value = "";
    for (const method of methodsOf(scans[view.scan])) {
      element("option", method.title, select).value = method.title;
    }
    select.value = [...select.options].some((one) => one.value === before) ? before : "";
  }

  function chooseMethods() {
    const place = id("browser-methods");
    place.replaceChildren();
    for (const { title } of scans[view.scan].methods) {
      const label = element("label", "", place), box = element("input", "", label);
      box.type = "checkbox";
      box.autocomplete = "off";
      box.value = title;
      box.checked = view.chosen.has(title);
      label.append(` ${title}`);
    }
  }

  function open(number) {
    const scan = scans[number], isOther = scan.dataset !== scans[view.scan].dataset;
    if ((isOther || !shown) && !methodsOf(scan).length) {
      scan.methods.forEach((method) => view.chosen.add(method.title));
    }
    view.scan = number;
    const nearest = scan.slices.indexOf(scan.start);
    view.slice = nearest < 0 ? Math.floor(scan.slices.length / 2) : nearest;
    const slider = id("browser-slice");
    slider.max = scan.slices.length - 1;
    slider.value = view.slice;
    id("browser-scan").value = number;
    choosePost();
    chooseMethods();
    chooseBy();
    panels();
    return show();
  }

  function move(by) {
    const order = fromWorst(), place = order.findIndex((one) => one.at === view.scan);
    const next = order[Math.min(Math.max(place + by, 0), order.length - 1)];
    return open(next.at);
  }

  function turn(by) {
    const last = scans[view.scan].slices.length - 1;
    view.slice = Math.min(Math.max(view.slice + by, 0), last);
    id("browser-slice").value = view.slice;
    return show();
  }

  function slide(by) {
    view.step = Math.min(Math.max(view.step + by, 0), rates.length - 1);
    id("browser-threshold").value = view.step;
    return show();
  }

  // Controls

  function listen() {
    id("browser-scan").addEventListener("change", (event) => open(Number(event.target.value)));
    id("browser-post").addEventListener("change", (event) => {
      view.post = event.target.value;
      panels();
      show();
    });
    id("browser-by").addEventListener("change", tell);
    id("browser-methods").addEventListener("change", ({ target }) => {
      view.chosen[target.checked ? "add" : "delete"](target.value);
      chooseBy();
      panels();
      show();
    });
    id("browser-slice").addEventListener("input", (event) => {
      view.slice = Number(event.target.value);
      show();
    });
    id("browser-threshold").addEventListener("input", (event) => {
      view.step = Number(event.target.value);
      show();
    });
    id("browser-worst").addEventListener("click", () => open(fromWorst()[0].at));
    id("browser-before").addEventListener("click", () => move(-1));
    id("browser-next").addEventListener("click", () => move(1));
    const stage = id("browser-panels");
    stage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
      const act = {
        ArrowUp: () => turn(1),
        ArrowDown: () => turn(-1),
        ArrowRight: () => slide(1),
        ArrowLeft: () => slide(-1),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    stage.addEventListener("wheel", (event) => {
      // The page scrolls until the slices are chosen, and can always be made larger.
      if (document.activeElement !== stage || event.ctrlKey || !event.deltaY) return;
      event.preventDefault();
      pulled += event.deltaY * (event.deltaMode ? NOTCH : 1);
      if (Math.abs(pulled) < NOTCH) return; // many small steps of a touchpad are one slice
      turn(Math.sign(-pulled));
      pulled = 0;
    }, { passive: false });
  }

  function start() {
    const select = id("browser-scan"), groups = new Map();
    scans.forEach((scan, number) => {
      if (!groups.has(scan.dataset)) {
        const group = element("optgroup", "", select);
        group.label = scan.dataset;
        groups.set(scan.dataset, group);
      }
      element("option", scan.name, groups.get(scan.dataset)).value = number;
    });
    const slider = id("browser-threshold");
    slider.max = rates.length - 1;
    slider.value = view.step;
    id("browser").hidden = false;
    listen();
    open(0);
  }

  start();
})();
