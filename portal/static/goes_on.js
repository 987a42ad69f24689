// What goes on without anybody's doing: looks every 3 s for as long as it does, and shows it.
//   <tr id="ID" data-goes-on>   replaced by what the same page has of that ID by then;
//     <div data-goes-on-told>   in it, what is said aloud when it has changed, in
//   <p role="status" data-goes-on-status></p>
//   <div id="ID" data-goes-along>   what came of it, replaced when that has ended
{
  const EVERY = 3_000; // ms

  const toldIn = (place) => place.querySelector("[data-goes-on-told]")?.textContent.replace(/\s+/g, " ").trim() ?? "";

  const show = (place, fresh) => {
    const before = toldIn(place);
    const hadFocus = place.contains(document.activeElement);
    place.replaceWith(fresh);
    if (hadFocus) fresh.querySelector("button, a")?.focus();
    const status = document.querySelector("[data-goes-on-status]");
    if (status && place.hasAttribute("data-goes-on") && toldIn(fresh) !== before) status.textContent = toldIn(fresh);
  };

  const update = (page) => {
    const places = [...document.querySelectorAll("[data-goes-on]")];
    if (places.some((place) => !page.getElementById(place.id)?.hasAttribute("data-goes-on"))) {
      places.push(...document.querySelectorAll("[data-goes-along]"));
    }
    for (const place of places) {
      const fresh = page.getElementById(place.id);
      if (fresh) show(place, document.adoptNode(fresh));
    }
    document.dispatchEvent(new CustomEvent("rows-changed"));
  };

  const look = async () => {
    if (!document.querySelector("[data-goes-on]")) return;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { "X-Schalter-Background": "1" } });
        if (answer.redirected) return; // signed out
        if (answer.ok) update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch {
        // Nobody asked for it; the next look may work.
      }
    }
    setTimeout(look, EVERY);
  };

  setTimeout(look, EVERY);
}
