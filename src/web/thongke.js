// Counts a page view, shows the figures.
(function (page) {
  var script = page.currentScript || page.querySelector('script[data-site][src*="thongke"]');
  var site = script && script.getAttribute('data-site');
  var mark = 'thongke' + site;
  var around = page;
  var due = true, address, former, wait;

  if (!site) return;
  var base = script.src.replace(/[^\/?]*(\?.*)?$/, 'v1/');

  var query = script.getAttribute('data-query') || '';

  function here() { return location.href.split('#')[0]; }

  function each(query, then, box) {
    (box || page).querySelectorAll(query).forEach(then);
  }

  function add(box, tag, name, text) {
    var row = box.appendChild(page.createElement(tag));
    row.className = 'thongke-' + name;
    row.textContent = text || '';
    return row;
  }

  // No retry: it may be counted.
  function ask(method, path, then, body) {
    fetch(base + path, {
      method: method, body: body, credentials: 'omit', keepalive: true
    }).then(function (answer) { return answer.json(); }).then(then).catch(function () {});
  }

  function fill(box, data) {
    var list, rows = {};
    each('[data-figure]', function (row) {
      rows[row.getAttribute('data-figure')] = row;
      list = row.parentNode;
    }, box);
    if (!list) {
      box.textContent = '';
      add(box, 'div', 'title');
      list = add(box, 'ul', 'figures');
    }
    each('.thongke-title', function (title) { title.textContent = data.title; }, box);
    data.figures.forEach(function (figure) {
      var row = rows[figure.key] || add(list, 'li', 'figure');
      row.setAttribute('data-figure', figure.key);
      row.textContent = figure.label + ' : ';
      add(row, 'span', 'value', figure.text);
    });
  }

  function show(data) {
    var boxes = '[data-thongke=""],[data-thongke="' + site + '"]', views = [], urls = '';
    if (!page.querySelector(boxes)) {
      var box = add(page.body, 'div', 'box');
      box.setAttribute('data-thongke', site);
      if (page.body.contains(script)) script.parentNode.insertBefore(box, script.nextSibling);
    }
    each(boxes, function (box) {
      var own = box.getAttribute('data-query');
      if (!own) return fill(box, data);
      ask('GET', 'sites/' + site + '/figures?' + own, function (data) {
        if (data.figures) fill(box, data);
      });
    });
    each('[data-thongke-page]', function (view) {
      var link = page.createElement('a');
      link.href = view.getAttribute('data-thongke-page') || here();
      urls += '&url=' + encodeURIComponent(link.href);
      views.push(view);
    });
    if (urls) ask('GET', 'sites/' + site + '/pages/figures?' + (/language=\w+/.exec(query) || '') + urls, function (data) {
      views.forEach(function (view, at) { view.textContent = data.pages[at].figures[0].text; });
    });

    each('[data-thongke-top]', function (list) {
      ask('GET', 'sites/' + site + '/pages?' + list.getAttribute('data-thongke-top'), function (data) {
        if (data.pages) list.textContent = '';
        data.pages.forEach(function (entry) {
          var row = add(list, 'li', 'page');
          add(row, 'a', 'link', entry.title || entry.page).href = entry.page;
          add(row, 'span', 'value', ' ' + entry.text);
        });
      });
    });
  }

  function count(title) {
    wait = due = clearTimeout(wait);
    ask('POST', query ? 'hit?' + query : 'hit', function (data) {
      function shown() { show(data); }
      if (data.figures[0].key) page.readyState === 'loading' ? page.addEventListener('DOMContentLoaded', shown) : shown();
    }, JSON.stringify({
      site: site, url: address, webdriver: navigator.webdriver,
      title: title === former ? '' : /^[^\ud800-\udfff]{0,200}/u.exec(title)[0]
    }));
  }

  function look() {
    if (!due || page.prerendering || page.hidden && !wait) return;
    address = here();
    count(page.title);
  }

  // The address is new, the title comes a little later, or never.
  function moved(event) {
    if (event.navigationType !== 'replace' && here() !== address) {
      if (wait) count(former);
      due = true;
      former = page.title;
      if (!page.hidden) wait = setTimeout(look, 500);
    }
    address = here();
  }

  function start() {
    // Of several tags, also in frames, one counts; a frame's no longer when it has gone.
    var root = around.documentElement;
    if (root[mark] && root[mark].defaultView) return;
    root[mark] = page;

    // When seen, and again from the back cache.
    page.addEventListener('prerenderingchange', look);
    page.addEventListener('visibilitychange', look);
    addEventListener('pageshow', function (event) {
      due = due || event.persisted;
      look();
    });
    if (script.hasAttribute('data-spa')) {
      addEventListener('pagehide', look);
      if (window.navigation) navigation.addEventListener('currententrychange', moved);
      else {
        var push = history.pushState;
        history.pushState = function () { push.apply(history, arguments); moved(root); };
        addEventListener('popstate', moved);
      }
    }
    look();
  }

  // The view is the page's around a frame, if that has a tag.
  try { if (top.document) around = top.document; } catch (e) {}
  if (around === page || around.readyState === 'complete') start();
  else top.addEventListener('load', start);
})(document);
