// thongke: counts a view of the page, shows the site's figures.
(function (page) {
  // Names our tag only while the script first runs.
  var script = page.currentScript || page.querySelector('script[data-site][src*="thongke"]');
  var site = script && script.getAttribute('data-site');
  var mark = 'thongke ' + site;
  var due = true;

  // Of two tags for a site the first one counts.
  if (!site || page.documentElement[mark]) return;
  page.documentElement[mark] = true;

  function add(parent, tag, name) {
    var child = page.createElement(tag);
    child.className = 'thongke-' + name;
    return parent.appendChild(child);
  }

  function fill(box, data) {
    var row = box.querySelector('[data-figure]');
    var list = row && row.parentNode;
    var title = box.querySelector('.thongke-title');
    if (!row) {
      box.textContent = '';
      title = add(box, 'div', 'title');
      list = add(box, 'ul', 'figures');
    }
    if (title) title.textContent = data.title;
    // Rows already there get new text: nothing shifts.
    data.figures.forEach(function (figure) {
      row = box.querySelector('[data-figure="' + figure.key + '"]');
      if (!row) {
        row = add(list, 'li', 'figure');
        row.setAttribute('data-figure', figure.key);
      }
      row.textContent = figure.label + ' : ';
      add(row, 'span', 'value').textContent = figure.text;
    });
  }

  function show(text) {
    // The page may not be parsed yet.
    if (page.readyState === 'loading') {
      page.addEventListener('DOMContentLoaded', function () { show(text); });
      return;
    }
    try {
      var data = JSON.parse(text);
      var boxes = page.querySelectorAll('[data-thongke=""],[data-thongke="' + site + '"]');
      if (!data.figures[0].key) return;
      if (!boxes[0]) {
        boxes = [add(page.body, 'div', 'box')];
        boxes[0].setAttribute('data-thongke', site);
        if (page.body.contains(script)) {
          script.parentNode.insertBefore(boxes[0], script.nextSibling);
        }
      }
      [].forEach.call(boxes, function (box) { fill(box, data); });
    } catch (e) {} // bad answer: page untouched
  }

  // No retry: a hit whose answer is lost may be counted.
  function look() {
    if (!due || page.prerendering || page.hidden) return;
    due = false;
    var address = script.src.replace(/[^\/?]*(\?.*)?$/, 'v1/hit');
    // Goes as text/plain: no preflight.
    var body = JSON.stringify({ site: site, url: location.href.split('#')[0] });
    if (window.fetch) {
      fetch(address, {
        method: 'POST', body: body, credentials: 'omit', keepalive: true
      }).then(function (answer) {
        return answer.status === 200 && answer.text();
      }).then(show).catch(function () {});
    } else {
      var request = new XMLHttpRequest();
      request.open('POST', address);
      request.onload = function () {
        if (request.status === 200) show(request.responseText);
      };
      request.send(body);
    }
  }

  // Counts when seen, and again from the back/forward cache.
  page.addEventListener('prerenderingchange', look);
  page.addEventListener('visibilitychange', look);
  window.addEventListener('pageshow', function (event) {
    if (event.persisted) due = true;
    look();
  });
  look();
})(document);
