// The script of the report. It reads the data of the page, and makes text only by textContent:
// names of files are data, whatever they look like.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const space = data.space;
  const { names, parents, kinds, origins } = space;
  const COUNT = names.length;
  const COLOURS = 12;
  const UNKNOWN_COLOUR = 11;
  const ORIGIN_COLOURS = {
    base: 0, extension: 5, package: 2, gem: 4, overlay: 3, edit: 9, generated: 1, unknown: UNKNOWN_COLOUR,
  };
  const CHANGE_COLOURS = { added: 1, changed: 2, renamed: 0, same: UNKNOWN_COLOUR };
  const ROWS = 200;

  const byId = (id) => document.getElementById(id);

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "text") element.textContent = value;
      else if (name === "onclick") element.addEventListener("click", value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function bytes(count) {
    if (count === 1) return "1 byte";
    if (count < 1000) return `${count} bytes`;
    let value = count;
    for (const unit of ["kB", "MB", "GB", "TB"]) {
      value /= 1000;
      if (value < 999.5 || unit === "TB") return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
    }
    return "";
  }

  const number = (count) => count.toLocaleString("en-US");
  const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
  const signed = (count) => (count === 0 ? "0" : `${count > 0 ? "+" : "−"}${bytes(Math.abs(count))}`);

  // ---- The entries: children, paths, what can be opened.

  const children = Array.from({ length: COUNT }, () => null);
  for (let entry = 1; entry < COUNT; entry++) {
    (children[parents[entry]] ||= []).push(entry);
  }
  const isOpenable = (entry) => children[entry] !== null;

  // A path as an address: a colon leads into an archive.
  function pathOf(entry) {
    const parts = [];
    for (let at = entry; at > 0; at = parents[at]) {
      parts.unshift(names[at]);
      const above = parents[at];
      if (above > 0) parts.unshift(kinds[above] === "a" ? ":" : "/");
    }
    return parts.join("") || names[0];
  }

  let byPath = null;
  function entryAt(path) {
    if (byPath === null) {
      byPath = new Map();
      for (let entry = 0; entry < COUNT; entry++) byPath.set(pathOf(entry), entry);
    }
    return byPath.get(path);
  }

  // The changes of the files that the image has.
  const changeOf = new Array(COUNT).fill("same");
  if (data.comparison !== null) {
    for (const change of data.comparison.changes) {
      const entry = change.kind === "removed" ? undefined : entryAt(change.path);
      if (entry !== undefined) changeOf[entry] = change.kind;
    }
    for (let entry = 1; entry < COUNT; entry++) {
      const above = changeOf[parents[entry]];
      if (changeOf[entry] === "same" && (above === "added" || above === "renamed")) changeOf[entry] = above;
    }
  }

  // ---- State.

  const state = {
    top: 0, // the entry that fills the map
    chosen: -1,
    size: "packed",
    colour: data.hasOrigins ? "origin" : "folder",
    matches: null, // a Set of entries, or null
    results: [],
    query: "",
    origin: -1, // the origin that is shown, or -1
  };
  const sizeOf = (entry) => space[state.size][entry];

  // ---- Colours.

  // The largest folders have a colour each, and what is in them has it, too. A folder that has
  // most of the space is replaced by what is in it, until there are enough colours in use.
  let folderColour = new Uint8Array(COUNT);
  let legendOfFolders = [];
  function colourFolders() {
    const whole = sizeOf(state.top);
    const inside = (folder) => ordered(folder).filter((entry) => sizeOf(entry) > 0 && kinds[entry] !== "r");
    let groups = inside(state.top);
    while (groups.length < COLOURS - 1) {
      const large = groups.find((entry) => isOpenable(entry) && sizeOf(entry) > 0.3 * whole);
      if (large === undefined) break;
      groups = groups.filter((entry) => entry !== large).concat(inside(large));
      groups.sort((a, b) => sizeOf(b) - sizeOf(a) || a - b);
    }
    const own = new Map(groups.slice(0, COLOURS - 1).map((entry, index) => [entry, index]));
    legendOfFolders = [...own].map(([entry, index]) => [names[entry] + (isOpenable(entry) ? "/" : ""), index]);
    legendOfFolders.push(["others", UNKNOWN_COLOUR]);
    folderColour = new Uint8Array(COUNT).fill(UNKNOWN_COLOUR);
    for (let entry = state.top + 1; entry < COUNT; entry++) {
      folderColour[entry] = own.get(entry) ?? (parents[entry] > state.top ? folderColour[parents[entry]] : UNKNOWN_COLOUR);
    }
  }

  function colourOf(entry) {
    if (kinds[entry] === "r") return UNKNOWN_COLOUR; // no file
    if (state.colour === "origin") return ORIGIN_COLOURS[data.sources[origins[entry]].kind];
    if (state.colour === "change") return CHANGE_COLOURS[changeOf[entry]];
    return folderColour[entry];
  }

  let palette = null;
  function readPalette() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    palette = {
      fills: Array.from({ length: COLOURS }, (_, index) => value(`--c${index}`)),
      text: value("--map-text"), gap: value("--map-gap"), off: value("--map-off"),
      faint: value("--faint"), focus: value("--text"),
    };
    palette.folders = palette.fills.map((fill) => mix(fill, palette.gap, 0.45));
  }

  function mix(one, other, share) {
    const part = (colour, at) => parseInt(colour.slice(at, at + 2), 16);
    const mixed = [1, 3, 5].map((at) => Math.round(part(one, at) * (1 - share) + part(other, at) * share));
    return `rgb(${mixed.join(" ")})`;
  }

  // ---- The map: a squarified treemap (Bruls, Huizing and van Wijk, 2000).

  const orderedBy = { packed: new Map(), raw: new Map() };
  function ordered(entry) {
    const cache = orderedBy[state.size];
    let found = cache.get(entry);
    if (found === undefined) {
      const sizes = space[state.size];
      found = (children[entry] || []).slice().sort((a, b) => sizes[b] - sizes[a] || a - b);
      cache.set(entry, found);
    }
    return found;
  }

  // Calls place(entry, x, y, width, height) for each child that has a size.
  function squarify(entry, x, y, width, height, place) {
    const list = ordered(entry);
    let left = 0;
    for (const child of list) left += sizeOf(child);
    let first = 0;
    while (first < list.length && width > 0.5 && height > 0.5 && left > 0) {
      if (sizeOf(list[first]) <= 0) return;
      const short = Math.min(width, height);
      const scale = (width * height) / left;
      let sum = 0;
      let worst = Infinity;
      let end = first;
      const largest = sizeOf(list[first]) * scale;
      while (end < list.length) {
        const area = sizeOf(list[end]) * scale;
        if (area <= 0) break;
        const next = sum + area;
        const ratio = Math.max((short * short * largest) / (next * next), (next * next) / (short * short * area));
        if (ratio > worst) break;
        worst = ratio;
        sum = next;
        end++;
      }
      const thick = sum / short;
      let offset = 0;
      for (let index = first; index < end; index++) {
        const long = (sizeOf(list[index]) * scale) / thick;
        if (width >= height) place(list[index], x, y + offset, thick, long);
        else place(list[index], x + offset, y, long, thick);
        offset += long;
        left -= sizeOf(list[index]);
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
      first = end;
    }
  }

  const canvas = byId("canvas");
  let boxes = []; // what is drawn: entry, x, y, width, height; the deepest last
  const HEADER = 17;

  function isLit(entry) {
    if (state.matches !== null) return state.matches.has(entry);
    return state.origin < 0 || origins[entry] === state.origin;
  }

  function draw() {
    const started = performance.now();
    const context = canvas.getContext("2d");
    const box = canvas.parentElement.getBoundingClientRect();
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, box.width, box.height);
    context.textBaseline = "middle";
    context.font = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    boxes = [];
    const isFiltered = state.matches !== null || state.origin >= 0;
    drawInside(context, state.top, 0, 0, box.width, box.height, isFiltered);
    if (sizeOf(state.top) <= 0) {
      context.fillStyle = palette.faint;
      context.fillText("Nothing here takes space.", 10, 20);
    }
    drawChosen(context);
    canvas.dataset.boxes = String(boxes.length);
    canvas.dataset.milliseconds = (performance.now() - started).toFixed(1);
  }

  function drawInside(context, entry, x, y, width, height, isFiltered) {
    squarify(entry, x, y, width, height, (child, left, top, wide, high) => {
      if (wide < 0.7 || high < 0.7) return;
      boxes.push([child, left, top, wide, high]);
      const gap = wide > 4 && high > 4 ? 1 : wide > 2 && high > 2 ? 0.5 : 0;
      const opens = isOpenable(child);
      const lit = !isFiltered || isLit(child);
      const colour = colourOf(child);
      context.fillStyle = lit ? (opens ? palette.folders : palette.fills)[colour] : palette.off;
      context.fillRect(left, top, wide - gap, high - gap);
      if (!opens) {
        if (lit) label(context, names[child], left, top, wide, high, bytes(sizeOf(child)));
        return;
      }
      if (wide < 5 || high < 5) {
        if (lit) { context.fillStyle = palette.fills[colour]; context.fillRect(left, top, wide - gap, high - gap); }
        return;
      }
      const head = wide > 44 && high > 34 ? HEADER : 0;
      // Folders in folders that have nothing else share a header.
      let inner = child;
      let name = names[child];
      for (let only = onlyFolder(inner); only >= 0; only = onlyFolder(inner)) {
        name += `${kinds[inner] === "a" ? ":" : "/"}${names[only]}`;
        inner = only;
        boxes.push([only, left, top, wide, high]);
      }
      if (head) label(context, name, left, top, wide, HEADER, "");
      const pad = wide > 16 && high > 16 ? 2 : 1;
      drawInside(context, inner, left + pad, top + (head || pad), wide - 2 * pad - gap + 1, high - (head || pad) - pad - gap + 1, isFiltered);
    });
  }

  // The folder that alone takes all of the space of another; -1 without one.
  function onlyFolder(entry) {
    const [first, second] = ordered(entry);
    const isOnly = first !== undefined && isOpenable(first) && (second === undefined || sizeOf(second) <= 0);
    return isOnly && colourOf(first) === colourOf(entry) ? first : -1;
  }

  function label(context, text, left, top, wide, high, below) {
    if (wide < 34 || high < 13) return;
    const room = Math.floor((wide - 9) / 6.1);
    if (room < 3) return;
    let shown = text.length > room + 8 ? text.slice(0, room + 8) : text;
    while (shown.length > 2 && context.measureText(shown).width > wide - 8) {
      shown = `${shown.slice(0, Math.max(1, Math.min(shown.length - 2, Math.floor((shown.length * (wide - 8)) / context.measureText(shown).width) - 1)))}…`;
    }
    context.fillStyle = palette.text;
    context.fillText(shown, left + 4, below === "" || high < 24 ? top + Math.min(high, HEADER) / 2 + 0.5 : top + 10);
    if (below !== "" && high > 40 && wide > 60) context.fillText(below, left + 4, top + 26);
  }

  function drawChosen(context) {
    const box = boxes.find((each) => each[0] === state.chosen);
    if (box === undefined) return;
    context.lineWidth = 3;
    context.strokeStyle = palette.gap;
    context.strokeRect(box[1] + 1, box[2] + 1, Math.max(1, box[3] - 3), Math.max(1, box[4] - 3));
    context.lineWidth = 2;
    context.strokeStyle = palette.focus;
    context.strokeRect(box[1] + 1, box[2] + 1, Math.max(1, box[3] - 3), Math.max(1, box[4] - 3));
  }

  function entryUnder(event) {
    const at = canvas.getBoundingClientRect();
    const x = event.clientX - at.left;
    const y = event.clientY - at.top;
    for (let index = boxes.length - 1; index >= 0; index--) {
      const [entry, left, top, wide, high] = boxes[index];
      if (x >= left && x < left + wide && y >= top && y < top + high) return entry;
    }
    return -1;
  }

  // The child of the shown folder that an entry is in.
  function childTowards(entry) {
    let at = entry;
    while (at > 0 && parents[at] !== state.top) at = parents[at];
    return at;
  }

  // ---- What is chosen and shown.

  function show(entry, chosen = -1) {
    state.top = isOpenable(entry) ? entry : Math.max(0, parents[entry]);
    state.chosen = chosen;
    colourFolders();
    showCrumbs();
    showList();
    showDetail(chosen >= 0 ? chosen : state.top);
    showLegend();
    draw();
  }

  function choose(entry) {
    state.chosen = entry;
    showDetail(entry >= 0 ? entry : state.top);
    markInList();
    draw();
  }

  function up() {
    if (state.top > 0) {
      const from = state.top;
      show(parents[from], from);
    }
  }

  function showCrumbs() {
    const trail = [];
    for (let at = state.top; at >= 0; at = parents[at]) trail.unshift(at);
    const crumbs = byId("crumbs");
    crumbs.replaceChildren();
    trail.forEach((entry, index) => {
      if (index > 0) crumbs.append(kinds[trail[index - 1]] === "a" && index > 1 ? ":" : index === 1 ? " › " : "/");
      const button = make("button", { type: "button", class: "crumb", text: names[entry], onclick: () => show(entry) });
      if (entry === state.top) button.setAttribute("aria-current", "true");
      crumbs.append(button);
    });
    byId("up").disabled = state.top === 0;
  }

  function listRow(entry, whole, text) {
    const row = make("button", { type: "button" });
    row.dataset.entry = String(entry);
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = palette.fills[colourOf(entry)];
    const name = make("span", { class: "name" }, swatch, text);
    const share = make("span", { class: "share" });
    share.style.width = `${whole > 0 ? (100 * sizeOf(entry)) / whole : 0}%`;
    row.append(name, make("span", { class: "size", text: bytes(sizeOf(entry)) }), share);
    return row;
  }

  function showList() {
    const list = byId("list");
    list.replaceChildren();
    const isSearch = state.matches !== null;
    const found = isSearch ? state.results : ordered(state.top);
    const whole = isSearch ? sizeOf(found.length ? found[0] : 0) : sizeOf(state.top);
    const rows = make("div", { class: isSearch ? "results" : "entries" });
    for (const entry of found.slice(0, ROWS)) {
      const ending = isOpenable(entry) ? (kinds[entry] === "a" ? ":" : "/") : "";
      rows.append(listRow(entry, whole, isSearch ? pathOf(entry) : names[entry] + ending));
    }
    if (found.length > ROWS) rows.append(make("p", { class: "more", text: `and ${number(found.length - ROWS)} more` }));
    list.append(rows);
    byId("list-title").textContent = isSearch
      ? `${plural(found.length, "match").replace(/matchs$/, "matches")}, ${bytes(totalOf(found))} ${state.size === "raw" ? "unpacked" : "packed"}`
      : `${plural(found.length, "entry").replace(/entrys$/, "entries")}, largest first`;
    markInList();
  }

  // The size of matches; what is inside of another match is not counted again.
  function totalOf(found) {
    const set = new Set(found);
    let total = 0;
    for (const entry of found) {
      let at = parents[entry];
      while (at >= 0 && !set.has(at)) at = parents[at];
      if (at < 0) total += sizeOf(entry);
    }
    return total;
  }

  function markInList() {
    for (const row of byId("list").querySelectorAll("button")) {
      if (Number(row.dataset.entry) === state.chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  const KINDS = {
    d: "folder", f: "file", a: "archive", l: "symbolic link", r: "part of the archive", m: "files too small to list",
    b: "block device", c: "character device", p: "fifo", s: "socket",
  };

  function sourceText(index) {
    const source = data.sources[index];
    return [source.kind === "unknown" ? "origin unknown" : source.kind, source.name, source.version].filter(Boolean).join(" ");
  }

  function showDetail(entry) {
    const packed = space.packed[entry];
    const whole = space.packed[0];
    const parts = [
      `${bytes(packed)} packed`,
      `${bytes(space.raw[entry])} unpacked`,
      whole > 0 ? `${((100 * packed) / whole).toFixed(packed * 10 >= whole ? 0 : 1)} % of the image` : "",
      KINDS[kinds[entry]],
      sourceText(origins[entry]),
    ];
    const mode = space.modes[space.attributes[entry]];
    if (mode !== undefined) parts.push(`mode ${mode[0]}`, `owner ${mode[1]}:${mode[2]}`);
    if (changeOf[entry] !== "same") parts.push(changeOf[entry]);
    byId("detail").replaceChildren(
      make("p", { class: "path", text: pathOf(entry) }),
      make("p", { class: "about", text: parts.filter(Boolean).join(" · ") }),
    );
  }

  function showLegend() {
    const legend = byId("legend");
    legend.replaceChildren();
    const add = (text, colour) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = palette.fills[colour];
      legend.append(make("li", {}, swatch, text));
    };
    if (state.colour === "origin") {
      const used = new Set(data.sources.filter((_, index) => originSizes()[index].files > 0).map((source) => source.kind));
      for (const [kind, colour] of Object.entries(ORIGIN_COLOURS)) if (used.has(kind)) add(kind, colour);
    } else if (state.colour === "change") {
      for (const [kind, colour] of Object.entries(CHANGE_COLOURS)) add(kind === "same" ? "unchanged" : kind, colour);
    } else {
      for (const [text, colour] of legendOfFolders) add(text, colour);
    }
  }

  // ---- Search.

  function search(query) {
    state.query = query.trim().toLowerCase();
    if (state.query === "") {
      state.matches = null;
      state.results = [];
    } else {
      const matches = matcher(state.query);
      const found = [];
      const lit = new Set();
      for (let entry = 1; entry < COUNT; entry++) {
        if (matches(entry)) {
          found.push(entry);
          lit.add(entry);
        } else if (lit.has(parents[entry])) {
          lit.add(entry); // what is in a folder that matches
        }
      }
      // The folders on the way keep their colour, so that the place is seen.
      for (const entry of found) for (let at = parents[entry]; at > 0 && !lit.has(at); at = parents[at]) lit.add(at);
      found.sort((a, b) => sizeOf(b) - sizeOf(a) || a - b);
      state.matches = lit;
      state.results = found;
    }
    showList();
    draw();
    canvas.dataset.matches = String(state.results.length);
  }

  function matcher(query) {
    const isPath = /[/:]/.test(query);
    const text = isPath ? (entry) => pathOf(entry).toLowerCase() : (entry) => names[entry].toLowerCase();
    if (!/[*?]/.test(query)) return (entry) => text(entry).includes(query);
    const pattern = query.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, ".*").replace(/\?/g, ".");
    const expression = new RegExp(isPath ? `(^|[/:])${pattern}$` : `^${pattern}$`, "s");
    return (entry) => expression.test(text(entry));
  }

  // ---- Tables.

  // columns: [title, kind ("text" or "number"), value for sorting, cell maker]
  function table(place, columns, rows, options = {}) {
    let sortedBy = options.sortedBy ?? -1;
    let isDown = options.isDown ?? true;
    let shown = ROWS;
    const render = () => {
      const list = rows.slice();
      if (sortedBy >= 0) {
        const value = columns[sortedBy][2];
        list.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          return (x < y ? -1 : x > y ? 1 : 0) * (isDown ? -1 : 1);
        });
      }
      const head = make("tr");
      columns.forEach(([title, kind], index) => {
        const cell = make("th", { scope: "col", class: kind });
        cell.append(make("button", {
          type: "button", text: title + (index === sortedBy ? (isDown ? " ↓" : " ↑") : ""),
          onclick: () => {
            isDown = index === sortedBy ? !isDown : kind === "number";
            sortedBy = index;
            render();
            place.querySelectorAll("th button")[index].focus();
          },
        }));
        if (index === sortedBy) cell.setAttribute("aria-sort", isDown ? "descending" : "ascending");
        head.append(cell);
      });
      const body = make("tbody");
      for (const row of list.slice(0, shown)) {
        const line = make("tr");
        for (const [, kind, value, cell] of columns) {
          const field = make("td", { class: kind });
          field.append(cell === undefined ? String(value(row)) : cell(row));
          line.append(field);
        }
        body.append(line);
      }
      const box = make("div", { class: "scroll", role: "region", "aria-label": options.label, tabindex: "0" });
      box.append(make("table", {}, make("thead", {}, head), body));
      place.replaceChildren(box);
      const hidden = (options.count ?? rows.length) - Math.min(shown, rows.length);
      if (hidden > 0) {
        const below = make("p", { class: "below-table" });
        if (rows.length > shown) {
          below.append(make("button", { type: "button", class: "quiet", text: "Show more", onclick: () => { shown += 5 * ROWS; render(); } }));
        }
        below.append(`${number(hidden)} more`);
        place.append(below);
      }
    };
    render();
  }

  function linkTo(path, text = path) {
    const entry = entryAt(path);
    if (entry === undefined) return make("span", { class: "path", text });
    return make("button", { type: "button", class: "link path", text, onclick: () => goTo(entry) });
  }

  function goTo(entry) {
    clearSearch();
    show(parents[entry] >= 0 ? parents[entry] : 0, entry);
    byId("space").scrollIntoView();
    canvas.focus({ preventScroll: true });
  }

  function clearSearch() {
    byId("search").value = "";
    state.matches = null;
    state.results = [];
    state.query = "";
    state.origin = -1;
  }

  // ---- Origins.

  let sizesOfOrigins = null;
  function originSizes() {
    if (sizesOfOrigins === null) {
      sizesOfOrigins = data.sources.map(() => ({ files: 0, packed: 0, raw: 0 }));
      for (let entry = 0; entry < COUNT; entry++) {
        if (children[entry] !== null) continue;
        const sizes = sizesOfOrigins[origins[entry]];
        sizes.files += "fm".includes(kinds[entry]) ? 1 : 0;
        sizes.packed += space.packed[entry];
        sizes.raw += space.raw[entry];
      }
    }
    return sizesOfOrigins;
  }

  function showOrigins() {
    const sizes = originSizes();
    const rows = data.sources.map((source, index) => ({ index, ...source, ...sizes[index] })).filter((row) => row.packed > 0 || row.files > 0);
    byId("origins-note").textContent = data.hasOrigins
      ? "The build wrote into the image where each file comes from. Choose an origin to see its files in the map."
      : "The image does not say where its files come from; a build with embed = true does. This is what its files show.";
    table(byId("origins-table"), [
      ["Origin", "text", (row) => row.name || "unknown", (row) => {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = `var(--c${ORIGIN_COLOURS[row.kind]})`;
        const button = make("button", { type: "button", class: "link", text: [row.name || "unknown", row.version].filter(Boolean).join(" ") });
        button.addEventListener("click", () => {
          clearSearch();
          state.origin = row.index;
          setRadio("colour", "origin");
          state.colour = "origin";
          show(0);
          byId("space").scrollIntoView();
          byId("list-title").textContent = `In colour: ${sourceText(row.index)}`;
        });
        return make("span", {}, swatch, button);
      }],
      ["Kind", "text", (row) => row.kind],
      ["Files", "number", (row) => row.files, (row) => number(row.files)],
      ["Packed", "number", (row) => row.packed, (row) => bytes(row.packed)],
      ["Unpacked", "number", (row) => row.raw, (row) => bytes(row.raw)],
    ], rows, { label: "Origins", sortedBy: 3 });
  }

  // ---- Extensions.

  const LOADING = { "at boot": "loaded at boot", stored: "stored", merged: "merged into the root", missing: "missing" };
  const SVG = "http://www.w3.org/2000/svg";

  function makeSvg(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function showExtensions() {
    const list = data.extensions;
    const neededBy = new Map(list.map((each) => [each.name, []]));
    for (const each of list) for (const need of each.needs) neededBy.get(need)?.push(each.name);
    const missing = list.filter((each) => each.loading === "missing").length;
    byId("extensions-note").textContent = list.length === 0
      ? "The image has no extensions."
      : `${plural(list.length, "extension")}${missing > 0 ? `, ${number(missing)} of them missing` : ""}. An arrow leads to what an extension needs.`;
    if (list.length === 0) return;
    drawGraph(list, neededBy);
    table(byId("extensions-table"), [
      ["Extension", "text", (row) => row.name, (row) => (row.place ? linkTo(row.place, row.name) : make("span", { class: "path", text: row.name }))],
      ["Loading", "text", (row) => row.loading, (row) => LOADING[row.loading]],
      ["Packed", "number", (row) => row.bytes, (row) => (row.bytes > 0 ? bytes(row.bytes) : "–")],
      ["Files", "number", (row) => row.files, (row) => (row.files > 0 ? number(row.files) : "–")],
      ["Needs", "text", (row) => row.needs.join(" "), (row) => row.needs.join(", ") || "–"],
      ["Needed by", "text", (row) => neededBy.get(row.name).join(" "), (row) => neededBy.get(row.name).join(", ") || "–"],
    ], list, { label: "Extensions" });
  }

  // Columns by the longest way from an extension that no other needs; loops end where they began.
  function columnsOf(list, neededBy) {
    const known = new Map(list.map((each) => [each.name, each]));
    const column = new Map();
    const visit = (start) => {
      const stack = [[start, 0]];
      const open = new Set();
      while (stack.length > 0) {
        const top = stack[stack.length - 1];
        const [name, next] = top;
        if (next === 0) open.add(name);
        const needs = known.get(name).needs;
        if (next >= needs.length) {
          open.delete(name);
          const below = needs.filter((need) => depth.has(need)).map((need) => depth.get(need));
          depth.set(name, 1 + Math.max(-1, ...below));
          stack.pop();
          continue;
        }
        top[1]++;
        const need = needs[next];
        if (known.has(need) && !depth.has(need) && !open.has(need)) stack.push([need, 0]);
      }
    };
    const depth = new Map(); // the longest way down
    for (const each of list) if (!depth.has(each.name)) visit(each.name);
    // From left to right: each as far left as those that need it permit.
    const inOrder = list.slice().sort((a, b) => depth.get(b.name) - depth.get(a.name));
    for (const each of inOrder) {
      const above = neededBy.get(each.name).filter((name) => column.has(name)).map((name) => column.get(name) + 1);
      column.set(each.name, Math.max(0, ...above));
    }
    return column;
  }

  const MOST_DRAWN = 120;
  function drawGraph(all, neededBy) {
    const linked = all.filter((each) => each.needs.length > 0 || neededBy.get(each.name).length > 0);
    if (linked.length === 0) return;
    const shown = linked.length > MOST_DRAWN
      ? linked.slice().sort((a, b) => b.needs.length + neededBy.get(b.name).length - a.needs.length - neededBy.get(a.name).length).slice(0, MOST_DRAWN)
      : linked;
    if (linked.length > MOST_DRAWN) byId("extensions-note").textContent += ` The graph has the ${MOST_DRAWN} with the most links.`;
    const column = columnsOf(shown, neededBy);
    const [WIDE, HIGH, ACROSS, DOWN, EDGE] = [176, 40, 70, 12, 14];
    const columns = [];
    for (const each of shown) (columns[column.get(each.name)] ||= []).push(each);
    const row = new Map();
    columns.forEach((list, index) => {
      const middle = (each) => {
        const above = neededBy.get(each.name).filter((name) => row.has(name)).map((name) => row.get(name));
        return above.length ? above.reduce((sum, value) => sum + value, 0) / above.length : 0;
      };
      if (index > 0) list.sort((a, b) => middle(a) - middle(b));
      list.forEach((each, place) => row.set(each.name, place));
    });
    const width = columns.length * (WIDE + ACROSS) - ACROSS + 2 * EDGE;
    const height = Math.max(...columns.map((list) => list.length)) * (HIGH + DOWN) - DOWN + 2 * EDGE;
    const svg = makeSvg("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    const at = (name) => [EDGE + column.get(name) * (WIDE + ACROSS), EDGE + row.get(name) * (HIGH + DOWN)];
    const lines = [];
    for (const each of shown) {
      for (const need of each.needs) {
        if (!row.has(need)) continue;
        const [x1, y1] = at(each.name);
        const [x2, y2] = at(need);
        const [sx, sy, ex, ey] = [x1 + WIDE, y1 + HIGH / 2, x2 - 6, y2 + HIGH / 2];
        const bend = Math.max(30, Math.abs(ex - sx) / 2);
        const line = makeSvg("path", { d: `M${sx} ${sy}C${sx + bend} ${sy} ${ex - bend} ${ey} ${ex} ${ey}` });
        const head = makeSvg("path", { d: `M${ex + 6} ${ey}l-8 -4v8z`, class: "head" });
        svg.append(line, head);
        lines.push([each.name, need, line, head]);
      }
    }
    const groups = new Map();
    const pick = (name) => {
      const near = new Set([name]);
      for (const [from, to, line, head] of lines) {
        const isNear = from === name || to === name;
        line.classList.toggle("near", isNear);
        head.classList.toggle("near", isNear);
        if (isNear) near.add(from).add(to);
      }
      for (const [each, group] of groups) group.classList.toggle("near", near.has(each));
      byId("graph").classList.toggle("picked", name !== null);
    };
    for (const each of shown) {
      const [x, y] = at(each.name);
      const needs = each.needs.length ? `, needs ${each.needs.join(", ")}` : "";
      const users = neededBy.get(each.name).length ? `, needed by ${neededBy.get(each.name).join(", ")}` : "";
      const group = makeSvg("g", { class: each.loading.replace(" ", "-"), tabindex: "0", role: "img", "aria-label": `${each.name}, ${LOADING[each.loading]}${needs}${users}` });
      const text = each.name.length > 25 ? `${each.name.slice(0, 24)}…` : each.name;
      group.append(
        makeSvg("title", {}, each.name),
        makeSvg("rect", { x, y, width: WIDE, height: HIGH, rx: 6 }),
        makeSvg("text", { x: x + 9, y: y + 16 }, text),
        makeSvg("text", { x: x + 9, y: y + 31, class: "sub" }, each.loading === "missing" ? "missing" : `${LOADING[each.loading]}${each.bytes > 0 ? `, ${bytes(each.bytes)}` : ""}`),
      );
      group.addEventListener("focus", () => pick(each.name));
      group.addEventListener("blur", () => pick(null));
      group.addEventListener("pointerenter", () => pick(each.name));
      group.addEventListener("pointerleave", () => pick(null));
      groups.set(each.name, group);
      svg.append(group);
    }
    const graph = byId("graph");
    graph.replaceChildren(svg);
    graph.hidden = false;
  }

  // ---- Changes.

  function showChanges() {
    const comparison = data.comparison;
    if (comparison === null) {
      byId("changes-note").textContent = "Not compared. Make the report with --against and an earlier image to see what changed.";
      return;
    }
    byId("changes-note").textContent = `Compared with ${comparison.old}.${comparison.isEstimate ? " What files take packed is estimated." : ""}`;
    const tiles = byId("changes-counts");
    const tile = (value, text, kind = "") => tiles.append(make("li", {}, make("strong", { text: value, class: kind }), make("span", { text })));
    for (const [kind, count] of Object.entries(comparison.counts)) tile(number(count), kind);
    if (comparison.oldBytes !== null && comparison.newBytes !== null) {
      const more = comparison.newBytes - comparison.oldBytes;
      tile(signed(more), "image size", more > 0 ? "plus" : more < 0 ? "minus" : "");
    }
    for (const [text, before, after] of comparison.facts) tile(`${before} → ${after}`, text);
    if (comparison.changes.length === 0) return;
    table(byId("changes-table"), [
      ["Change", "text", (row) => row.kind],
      ["Path", "text", (row) => row.path, (row) => {
        const link = row.kind === "removed" ? make("span", { class: "path", text: row.path }) : linkTo(row.path);
        return row.oldPath ? make("span", {}, make("span", { class: "path", text: `${row.oldPath} → ` }), link) : link;
      }],
      ["What", "text", (row) => row.what],
      ["Packed", "number", (row) => row.more ?? 0, (row) => (row.more === null ? "–" : make("span", { class: row.more > 0 ? "plus" : row.more < 0 ? "minus" : "", text: signed(row.more) }))],
    ], comparison.changes, { label: "Changes", count: comparison.changesCount });
  }

  // ---- Findings.

  function showFindings() {
    const list = data.findings;
    const counts = data.findingsCounts;
    byId("findings-note").textContent = [
      data.findingsCount === 0
        ? "Nothing was found."
        : Object.entries(counts).map(([severity, count]) => plural(count, severity)).join(", ") + ".",
      data.findingsNote,
    ].filter(Boolean).join(" ");
    const groups = new Map();
    for (const finding of list) {
      if (!groups.has(finding.code)) groups.set(finding.code, []);
      groups.get(finding.code).push(finding);
    }
    const place = byId("findings-list");
    for (const [code, found] of groups) {
      const items = make("ul");
      for (const finding of found.slice(0, ROWS)) {
        items.append(make("li", {},
          make("div", { text: finding.message }),
          make("div", { class: "remedy", text: [finding.remedy, finding.owner && `from ${finding.owner}`].filter(Boolean).join(" · ") }),
        ));
      }
      if (found.length > ROWS) items.append(make("li", { text: `and ${number(found.length - ROWS)} more` }));
      const summary = make("summary", {},
        make("span", { class: `severity ${found[0].severity}`, text: found[0].severity }),
        make("span", { class: "code mono", text: code }),
        `${found[0].title} (${number(found.length)})`,
      );
      const box = make("details", {}, summary, items);
      if (found[0].severity === "error") box.open = true;
      place.append(box);
    }
    if (data.findingsCount > list.length) place.append(make("p", { class: "below-table", text: `${number(data.findingsCount - list.length)} more` }));
  }

  // ---- Components.

  function showComponents() {
    const list = data.components;
    byId("components-note").textContent = data.componentsCount === 0
      ? "No component is known."
      : `${plural(data.componentsCount, "component")}.${data.componentsNote ? ` ${data.componentsNote}` : ""}`;
    if (list.length === 0) return;
    table(byId("components-table"), [
      ["Name", "text", (row) => row.name],
      ["Kind", "text", (row) => row.kind],
      ["Version", "text", (row) => row.version, (row) => row.version || "–"],
      ["Licence", "text", (row) => row.licence, (row) => row.licence || "–"],
    ], list, { label: "Components", count: data.componentsCount });
  }

  // ---- Head, sections, theme.

  function showHead() {
    byId("title").textContent = data.title;
    const facts = byId("facts");
    for (const [name, value] of data.facts) {
      const shown = typeof value === "number" ? bytes(value) : value;
      facts.append(make("div", {}, make("dt", { text: name }), make("dd", { text: shown, class: name === "SHA-256" ? "mono" : "" })));
    }
    const sections = byId("sections");
    for (const [id, text, count] of [
      ["space", "Space", null], ["origins", "Origins", null], ["extensions", "Extensions", data.extensions.length],
      ["changes", "Changes", data.comparison === null ? null : data.comparison.changesCount],
      ["findings", "Findings", data.findingsCount], ["components", "Components", data.componentsCount],
    ]) {
      const link = make("a", { href: `#${id}`, text });
      if (count !== null) link.append(make("span", { class: "count", text: number(count) }));
      sections.append(link);
    }
    if (data.faults.length > 0) {
      byId("faults").hidden = false;
      for (const fault of data.faults) byId("fault-list").append(make("li", { text: fault }));
      if (data.faultsCount > data.faults.length) byId("fault-list").append(make("li", { text: `and ${number(data.faultsCount - data.faults.length)} more` }));
    }
    const notes = [];
    if (space.hidden > 0) notes.push(`${number(space.hidden)} small entries are not listed; their sizes are shown together.`);
    if (space.estimated.length > 0) notes.push(`Packed sizes are estimated in: ${space.estimated.map((place) => place || data.title).join(", ")}.`);
    byId("notes").textContent = notes.join(" ");
    byId("made-by").textContent = `Made by ${data.tool}. This page needs no network, and keeps nothing.`;
  }

  function setRadio(name, value) {
    for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.checked = input.value === value;
  }

  function refresh() {
    readPalette();
    show(state.top, state.chosen);
  }

  const THEMES = ["system", "light", "dark"];
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const next = THEMES[(THEMES.indexOf(root.dataset.theme || "system") + 1) % THEMES.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    byId("theme").textContent = `Theme: ${next}`;
    refresh();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);

  // ---- Events.

  canvas.addEventListener("click", (event) => {
    const entry = entryUnder(event);
    if (entry < 0) return;
    const towards = childTowards(entry);
    if (isOpenable(towards)) show(towards, entry === towards ? -1 : entry);
    else choose(entry);
  });
  let hovered = -1;
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const entry = entryUnder(event);
    if (entry !== hovered && entry >= 0) {
      hovered = entry;
      showDetail(entry);
    }
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = -1;
    showDetail(state.chosen >= 0 ? state.chosen : state.top);
  });

  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in MOVES) move(...MOVES[event.key]);
    else if (event.key === "Enter" || event.key === "+") {
      if (state.chosen >= 0 && isOpenable(state.chosen)) show(state.chosen, ordered(state.chosen)[0] ?? -1);
    } else if (event.key === "Escape" || event.key === "Backspace" || event.key === "-") up();
    else if (event.key === "Home") show(0);
    else return;
    event.preventDefault();
  });

  // Chooses the nearest box in a direction, of the children of the shown folder.
  function move(dx, dy) {
    const own = boxes.filter((box) => parents[box[0]] === state.top);
    const now = own.find((box) => box[0] === childTowards(state.chosen));
    if (state.chosen < 0 || now === undefined) {
      if (own.length > 0) choose(own[0][0]);
      return;
    }
    const middle = ([, x, y, wide, high]) => [x + wide / 2, y + high / 2];
    const [x, y] = middle(now);
    let best = null;
    let least = Infinity;
    for (const box of own) {
      if (box === now) continue;
      const [otherX, otherY] = middle(box);
      const along = (otherX - x) * dx + (otherY - y) * dy;
      const across = Math.abs((otherX - x) * dy) + Math.abs((otherY - y) * dx);
      if (along <= 0.5) continue;
      if (along + 2 * across < least) {
        least = along + 2 * across;
        best = box;
      }
    }
    if (best !== null) choose(best[0]);
  }

  byId("list").addEventListener("click", (event) => {
    const row = event.target.closest("button");
    if (row === null) return;
    const entry = Number(row.dataset.entry);
    if (state.matches !== null) {
      show(parents[entry], entry);
    } else if (isOpenable(entry)) {
      show(entry);
      byId("list").querySelector("button")?.focus();
    } else {
      choose(entry);
    }
  });
  byId("list").addEventListener("keydown", (event) => {
    const rows = [...byId("list").querySelectorAll("button")];
    const index = rows.indexOf(document.activeElement);
    const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (target !== undefined) {
      rows[Math.max(0, Math.min(rows.length - 1, target))]?.focus();
      event.preventDefault();
    } else if (event.key === "Backspace" || event.key === "Escape") {
      up();
      byId("list").querySelector("button[aria-current]")?.focus();
      event.preventDefault();
    }
  });
  byId("list").addEventListener("focusin", (event) => {
    const row = event.target.closest("button");
    if (row !== null && Number(row.dataset.entry) !== state.chosen) choose(Number(row.dataset.entry));
  });
  byId("up").addEventListener("click", up);

  let pending = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(pending);
    const query = event.target.value;
    state.origin = -1;
    pending = setTimeout(() => search(query), COUNT > 5000 ? 120 : 0);
  });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      clearSearch();
      show(state.top, state.chosen);
      event.preventDefault();
    } else if (event.key === "ArrowDown") {
      byId("list").querySelector("button")?.focus();
      event.preventDefault();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey) {
      byId("search").focus();
      event.preventDefault();
    }
  });
  for (const input of document.querySelectorAll('input[name="size"]')) {
    input.addEventListener("change", () => {
      state.size = input.value;
      if (state.query !== "") search(state.query);
      show(state.top, state.chosen);
    });
  }
  for (const input of document.querySelectorAll('input[name="colour"]')) {
    input.addEventListener("change", () => {
      state.colour = input.value;
      show(state.top, state.chosen);
    });
  }
  let redrawing = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(redrawing);
    redrawing = requestAnimationFrame(draw);
  });

  // ---- Start.

  byId("colour-change").hidden = data.comparison === null;
  setRadio("colour", state.colour);
  setRadio("size", state.size);
  readPalette();
  showHead();
  show(0);
  showOrigins();
  showExtensions();
  showChanges();
  showFindings();
  showComponents();
  document.documentElement.dataset.ready = "true";
})();
