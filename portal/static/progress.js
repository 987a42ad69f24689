// How far the answer to a form has come, while the browser waits for it.
//   <form method="post" data-progress="URL">  … <div hidden><progress …></progress></div>
// URL answers {"share": 0.42}, or null where the server does not know: then the bar has no end.
{
  const EVERY = 400; // ms

  const follow = (form, bar) => {
    const look = async () => {
      try {
        const answer = await fetch(form.dataset.progress, { headers: { "X-Schalter-Background": "1" } });
        const { share } = answer.ok ? await answer.json() : { share: null };
        if (share === null) bar.removeAttribute("value");
        else bar.value = Math.max(share, bar.hasAttribute("value") ? bar.value : 0);
      } catch {
        // The page is being left, or the next look may work.
      }
    };
    return setInterval(look, EVERY);
  };

  for (const form of document.querySelectorAll("form[data-progress]")) {
    const place = form.querySelector("[data-progress-place]");
    let timer = 0;
    const end = () => {
      clearInterval(timer);
      place.hidden = true;
    };
    form.addEventListener("submit", (event) => {
      if (!event.submitter?.hasAttribute("data-takes-long")) return;
      place.hidden = false;
      timer = follow(form, place.querySelector("progress"));
    });
    window.addEventListener("pageshow", end); // the page as the browser kept it, on the way back
  }
}
