// News in a list: looks every 30 s, and offers them instead of moving rows under the hand.
//   <div id="rows" data-refresh="URL" data-refresh-text="New: show">  with rows
//   <tr data-row="ID" data-stamp="changes when the row does">
{
  const EVERY = 30_000; // ms

  const stampsOf = (region) =>
    new Set([...region.querySelectorAll("[data-row]")].map((row) => `${row.dataset.row} ${row.dataset.stamp}`));

  const offer = (region, fresh, count) => {
    let line = region.querySelector(".news");
    if (!line) {
      line = document.createElement("div");
      line.className = "news";
      line.setAttribute("role", "status");
      region.prepend(line);
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-sm btn-primary";
    button.textContent = `${region.dataset.refreshText} (${count})`;
    button.addEventListener("click", () => {
      region.replaceWith(fresh);
      document.dispatchEvent(new CustomEvent("rows-changed"));
    });
    line.replaceChildren(button);
  };

  const look = async () => {
    const region = document.querySelector("#rows[data-refresh]");
    if (!region || document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Schalter-Background": "1" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("#rows");
      if (!fresh || !region.isConnected) return;
      const known = stampsOf(region);
      const count = [...stampsOf(fresh)].filter((stamp) => !known.has(stamp)).length;
      if (count) offer(region, document.adoptNode(fresh), count);
    } catch {
      // Nobody asked for it; the next look may work.
    }
  };

  if (document.querySelector("#rows[data-refresh]")) setInterval(look, EVERY);
}
