// Tools above the article. They store nothing: a reload resets them.
(function () {
  var root = document.documentElement;
  root.className = 'js';

  // Percentages of the reader's own font size; demo.css has a rule for each.
  var sizes = [85, 100, 115, 130, 150, 175, 200];
  var usual = sizes.indexOf(100);
  var size = usual;
  var status, timer;

  function say(text) {
    status.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(function () { status.textContent = ''; }, 4000);
  }

  function each(selector, action) {
    Array.prototype.forEach.call(document.querySelectorAll(selector), action);
  }

  function resize(step) {
    size = step ? Math.max(0, Math.min(sizes.length - 1, size + step)) : usual;
    root.setAttribute('data-size', sizes[size]);
    each('[data-size-step]', function (button) {
      var next = size + Number(button.getAttribute('data-size-step'));
      // `disabled` would take the focus away from the button.
      button.setAttribute('aria-disabled', String(next < 0 || next >= sizes.length));
    });
    say('Cỡ chữ ' + sizes[size] + '%');
  }

  function contrast(wanted) {
    var now = root.getAttribute('data-contrast') === wanted ? '' : wanted;
    if (now) root.setAttribute('data-contrast', now);
    else root.removeAttribute('data-contrast');
    each('[data-set-contrast]', function (button) {
      button.setAttribute('aria-pressed', String(button.getAttribute('data-set-contrast') === now));
    });
    say({ more: 'Tương phản cao', less: 'Tương phản dịu' }[now] || 'Tương phản thường');
  }

  // Copies without the clipboard API, which needs HTTPS.
  function copyBySelection(text) {
    var field = document.createElement('textarea');
    var done = false;
    field.value = text;
    field.className = 'unseen';
    document.body.appendChild(field);
    field.select();
    try { done = document.execCommand('copy'); } catch (e) {}
    document.body.removeChild(field);
    return done;
  }

  function copy(button) {
    var url = location.href.split('#')[0];
    function fallback() {
      say(copyBySelection(url) ? 'Đã chép liên kết' : 'Không chép được. Liên kết: ' + url);
      button.focus();
    }
    if (navigator.clipboard) {
      navigator.clipboard.writeText(url).then(function () { say('Đã chép liên kết'); }, fallback);
    } else {
      fallback();
    }
  }

  document.addEventListener('DOMContentLoaded', function () {
    var url = encodeURIComponent(location.href.split('#')[0]);
    var title = encodeURIComponent(document.querySelector('h1').textContent);
    status = document.querySelector('[role="status"]');

    each('[data-chart] img', function (image) {
      function hide() { image.parentNode.parentNode.hidden = true; }
      if (image.complete && !image.naturalWidth) hide();
      image.addEventListener('error', hide);
    });

    each('[data-share]', function (link) {
      link.href = link.getAttribute('data-share').replace('URL', url).replace('TITLE', title);
    });
    each('[data-size-step]', function (button) {
      button.addEventListener('click', function () {
        resize(Number(button.getAttribute('data-size-step')));
      });
    });
    each('[data-set-contrast]', function (button) {
      button.addEventListener('click', function () {
        contrast(button.getAttribute('data-set-contrast'));
      });
    });
    each('[data-copy]', function (button) {
      button.addEventListener('click', function () { copy(button); });
    });
  });
})();
