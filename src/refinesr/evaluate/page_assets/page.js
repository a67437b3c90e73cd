"use strict";
// A crop that is chosen is enlarged, with another of the same picture under a slider.
const dialog = document.querySelector("dialog");
if (dialog) {
  const stage = dialog.querySelector(".stage");
  const range = dialog.querySelector("input");
  const sides = ["left", "right"].map((side) => ({
    image: stage.querySelector("." + side),
    choice: dialog.querySelector(`select[name=${side}]`),
  }));
  let crops = [];

  const show = () => {
    for (const { image, choice } of sides) {
      const chosen = crops[choice.selectedIndex].querySelector("img");
      image.src = chosen.src;
      image.alt = chosen.alt;
    }
  };
  const cut = () => stage.style.setProperty("--cut", range.value + "%");
  const open = (button) => {
    crops = [...button.closest(".tiles").querySelectorAll("button")];
    const at = crops.indexOf(button);
    const places = [0, at || Math.min(1, crops.length - 1)]; // the truth is the first
    sides.forEach(({ choice }, side) => {
      choice.replaceChildren(...crops.map((crop) => new Option(crop.dataset.what)));
      choice.selectedIndex = places[side];
    });
    range.value = 50;
    cut();
    show();
    dialog.showModal();
    range.focus();
  };
  const drag = (event) => {
    const place = stage.getBoundingClientRect();
    range.value = (100 * (event.clientX - place.left)) / place.width;
    cut();
  };

  document.querySelectorAll(".tiles button").forEach((button) => {
    button.addEventListener("click", () => open(button));
  });
  sides.forEach(({ choice }) => choice.addEventListener("change", show));
  range.addEventListener("input", cut);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) drag(event);
  });
  stage.addEventListener("dragstart", (event) => event.preventDefault()); // of the picture itself
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
}
