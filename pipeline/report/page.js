"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text; // never as HTML: texts come from the recordings' metadata
    if (kind) made.className = kind;
    return made;
  };
  const shownNumber = (value, column) => {
    if (value === Infinity) return "∞";
    if (value === -Infinity) return "−∞";
    const text = value.toLocaleString("en", { minimumFractionDigits: column.decimals, maximumFractionDigits: column.decimals });
    return text.replace("-", "−");
  };

  // ── the table of units ────────────────────────────────────────────────────────────────────────────────────────────
  const table = document.getElementById("table");
  if (table && data.table) {
    const { columns, rows, shown } = data.table;
    const PAGE = 50;
    for (const row of rows) {
      columns.forEach((column, at) => {
        if (column.is_number && typeof row[at] === "string") row[at] = Number(row[at]); // infinite ones, which JSON lacks
      });
    }
    const texts = rows.map((row) => row.filter((_, at) => !columns[at].is_number).join("\n").toLowerCase());
    const order = new Intl.Collator("en", { numeric: true });
    let sorted = rows.map((_, at) => at), kept = sorted, page = 0, by = -1, up = true;

    const compare = (a, b) => {
      const x = rows[a][by], y = rows[b][by];
      if (x === null || y === null) return (x === null) - (y === null) || a - b; // units without a value come last
      const step = columns[by].is_number ? (x < y ? -1 : x > y ? 1 : 0) : order.compare(x, y);
      return (up ? step : -step) || a - b;
    };
    const condition = (token) => {
      const found = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(token);
      const at = found ? columns.findIndex((column) => column.name.toLowerCase() === found[1]) : -1;
      if (at < 0) return (row) => texts[row].includes(token);
      const wanted = Number(found[3].replace("−", "-"));
      if (!columns[at].is_number || Number.isNaN(wanted)) {
        return (row) => String(rows[row][at] ?? "").toLowerCase() === found[3];
      }
      const tests = { "<": (v) => v < wanted, ">": (v) => v > wanted, "<=": (v) => v <= wanted, ">=": (v) => v >= wanted, "=": (v) => v === wanted };
      return (row) => rows[row][at] !== null && tests[found[2]](rows[row][at]);
    };
    const sift = () => {
      const tests = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
      kept = sorted.filter((row) => tests.every((test) => test(row)));
      page = 0;
      draw();
    };
    const sort = (at) => {
      up = by === at ? !up : !columns[at].is_number;
      by = at;
      sorted = rows.map((_, place) => place).sort(compare);
      head.forEach((cell, place) => {
        if (place === by) cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
      });
      sift();
    };
    const drawRow = (at) => {
      const made = element("tr");
      columns.forEach((column, place) => {
        const value = rows[at][place];
        const cell = element(place ? "td" : "th", undefined, column.is_number ? "right" : "");
        if (!place) {
          cell.scope = "row";
          cell.title = value;
          const name = element(Object.hasOwn(shown, value) ? "a" : "span", undefined, "name");
          if (name.localName === "a") name.href = "#unit-" + shown[value];
          const letters = [...value], cut = Math.max(0, letters.length - 16); // ids differ at their ends: never cut those
          name.append(element("span", letters.slice(0, cut).join("")), element("span", letters.slice(cut).join("")));
          cell.append(name);
        } else if (value === null) cell.textContent = "–";
        else if (column.is_number) cell.textContent = shownNumber(value, column);
        else cell.append(element("div", value, "cell"));
        made.append(cell);
      });
      return made;
    };
    const draw = () => {
      const from = page * PAGE, to = Math.min(from + PAGE, kept.length);
      table.tBodies[0].replaceChildren(...kept.slice(from, to).map(drawRow));
      document.getElementById("matches").textContent = kept.length === rows.length ? "" : kept.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en");
      document.getElementById("where").textContent = kept.length ? (from + 1).toLocaleString("en") + "–" + to.toLocaleString("en") + " of " + kept.length.toLocaleString("en") : "none";
      document.getElementById("back").disabled = page === 0;
      document.getElementById("on").disabled = to >= kept.length;
    };
    const head = columns.map((column, at) => {
      const cell = element("th", undefined, column.is_number ? "right" : "");
      cell.scope = "col";
      const button = element("button", column.unit ? column.name + " / " + column.unit : column.name);
      button.type = "button";
      button.addEventListener("click", () => sort(at));
      cell.append(button);
      return cell;
    });
    const line = element("tr");
    line.append(...head);
    table.tHead.append(line);
    document.getElementById("filter").addEventListener("input", sift);
    document.getElementById("back").addEventListener("click", () => { page -= 1; draw(); });
    document.getElementById("on").addEventListener("click", () => { page += 1; draw(); });
    draw();
  }

  // ── the map ───────────────────────────────────────────────────────────────────────────────────────────────────────
  const drawing = document.getElementById("map-drawing");
  if (drawing && data.map) {
    const { ids, names, facts, sounds } = data.map;
    const card = document.getElementById("map-card");
    const circles = [...drawing.querySelectorAll("circle[data-i]")];
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "chosen");
    ring.setAttribute("r", "10");

    const choose = (at) => {
      const circle = circles[at], sound = sounds[at];
      ring.setAttribute("cx", circle.getAttribute("cx"));
      ring.setAttribute("cy", circle.getAttribute("cy"));
      drawing.append(ring);
      const list = element("dl");
      names.forEach((name, place) => {
        if (facts[at][place] !== null) list.append(element("dt", name), element("dd", facts[at][place]));
      });
      const parts = [element("h3", ids[at])];
      let player = null;
      if (sound && sound.uri) {
        player = element("audio");
        player.controls = true;
        player.src = sound.uri;
        player.setAttribute("aria-label", ids[at]);
        parts.push(player);
      } else parts.push(element("p", sound ? sound.note : "Only units with a ring can be heard here.", "note"));
      if (sound && sound.picture) {
        const picture = element("img", undefined, "picture");
        picture.src = sound.picture;
        picture.alt = "What the store holds of " + ids[at];
        parts.push(picture);
      }
      card.replaceChildren(...parts, list);
      if (player) player.play().catch(() => {}); // a browser may want another click first
    };
    const nearest = (event) => {
      const box = drawing.getBoundingClientRect(), view = drawing.viewBox.baseVal;
      const x = (event.clientX - box.left) * view.width / box.width, y = (event.clientY - box.top) * view.height / box.height;
      let best = 0, least = Infinity;
      circles.forEach((circle, at) => {
        const far = Math.hypot(circle.cx.baseVal.value - x, circle.cy.baseVal.value - y) - (at in sounds ? 5 : 0);
        if (far < least) [best, least] = [at, far];
      });
      return best;
    };
    drawing.addEventListener("click", (event) => choose(nearest(event)));
    drawing.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === " ") && event.target.dataset.i) {
        event.preventDefault();
        choose(Number(event.target.dataset.i));
      }
    });
    const buttons = [...document.querySelectorAll(".legend button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        const lit = button.getAttribute("aria-pressed") !== "true";
        buttons.forEach((other) => other.setAttribute("aria-pressed", String(lit && other === button)));
        drawing.classList.toggle("dim", lit);
        circles.forEach((circle) => circle.classList.toggle("lit", lit && circle.classList.contains("k" + button.dataset.code)));
      });
    }
  }

  // One sound at a time: whoever starts another wants to compare.
  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((other) => { if (other !== event.target) other.pause(); });
  }, true);
})();
