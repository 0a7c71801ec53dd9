// Counts a page view and shows the figures.
(function (page) {
  var script = page.currentScript || page.querySelector('script[data-site][src*="thongke"]');
  var site = script && script.dataset.site;
  var mark = 'thongke' + site;
  var around = page;
  var due = true, address, former, wait, claimed, sent;

  if (!site) return;
  var query = script.dataset.query || '', spa = script.dataset.spa;

  // A route behind # is part of the address under data-spa="hash".
  function here() { return location.href.split(spa == 'hash' ? /#(?![!/])/ : '#')[0].slice(0, 2500); }

  function each(query, then, box) {
    (box || page).querySelectorAll(query).forEach(then);
  }

  function encoded(href) { return href.replace(/[#&+]|%(?![89A-F])/gi, encodeURIComponent); }

  function add(box, tag, name, text) {
    var row = box.appendChild(page.createElement(tag));
    row.className = 'thongke-' + name;
    row.textContent = text;
    return row;
  }

  // Sends a query, or with a body a hit. No retry: the hit may be counted.
  function ask(path, then, body) {
    fetch(new URL('v1/' + (body ? 'hit?' : 'sites/' + site + '/') + path, script.src), {
      method: body ? 'POST' : 'GET', body: body, credentials: 'omit', keepalive: true
    }).then(function (answer) { return answer.json(); }).then(function (data) {
      if (data.closed) console.info('thongke: not public: ' + data.closed);
      then(data);
    }).catch(function () {});
  }

  // An element of a closed part would stay empty.
  function gone(data, box) {
    if (data.closed) box.style.display = 'none';
    return data.closed;
  }

  function fill(box, data) {
    var list, rows = {};
    if (gone(data, box) || !data.figures) return;
    each('[data-figure]', function (row) {
      rows[row.dataset.figure] = row;
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
      row.dataset.figure = figure.key;
      row.textContent = figure.label + ' : ';
      add(row, 'span', 'value', figure.text);
    });
  }

  function show(data) {
    // Beyond a limit the view isn't counted, and is shown the figures.
    if (data.status == 429) return ask('figures?' + query, show);
    data.closed || data.figures[0].key;
    if (page.readyState === 'loading') return page.addEventListener('DOMContentLoaded', show.bind(page, data));
    var boxes = '[data-thongke=""],[data-thongke="' + site + '"]', views = [], urls = '';

    // A request holds as many views as fit an address.
    function send() {
      var asked = views;
      if (urls) ask('pages/figures?' + (/language=\w+/.exec(query) || '') + urls, function (data) {
        asked.forEach(gone.bind(page, data));
        data.pages.forEach(function (entry, at) {
          if (entry.page) asked[at].textContent = entry.figures[0].text;
        });
      });
      views = [];
      urls = '';
    }

    if (!page.querySelector(boxes) && !data.closed) {
      var box = add(page.body, 'div', 'box');
      box.dataset.thongke = site;
      if (page.body.contains(script)) script.after(box);
    }
    each(boxes, function (box) {
      if (box.dataset.query) ask('figures?' + box.dataset.query, fill.bind(page, box));
      else fill(box, data);
    });
    each('[data-thongke-page]', function (view) {
      var link = page.createElement('a');
      link.href = view.dataset.thongkePage || here();
      // Short: encoded once, and a path if of this origin.
      var url = '&url=' + encoded(link.href.replace(location.origin + '/', '/'));
      if (sent && !view.dataset.thongkePage) url += '&canonical=' + encoded(sent);
      if (views.length > 49 || (urls + url).length > 5e3) send();
      urls += url;
      views.push(view);
    });
    send();
    each('[data-thongke-top]', function (list) {
      ask('pages?' + list.dataset.thongkeTop, function (data) {
        gone(data, list);
        if (data.pages) list.textContent = '';
        data.pages.forEach(function (entry) {
          var row = add(list, 'li', 'page');
          var link = add(row, 'a', 'link', entry.title || entry.page);
          if (entry.link) link.href = location.origin + entry.link;
          add(row, 'span', 'value', ' ' + entry.text);
        });
      });
    });
  }

  // A view that ends early has no canonical address: it may be the next page's, or the former's.
  function count(title, early) {
    wait = due = clearTimeout(wait);
    sent = script.dataset.page || '';
    // A single-page site may keep the first page's. Both addresses fit a hit.
    if (!sent && !early) each('[rel=canonical]', function (link) {
      if (link.href != claimed && (address + link.href).length < 3e3) sent = link.href;
      if (spa != null) claimed = link.href;
    });
    ask(query, show, JSON.stringify({
      site: site, url: address, canonical: sent, webdriver: navigator.webdriver,
      title: title === former ? '' : /^[^\ud800-\udfff]{0,200}/u.exec(title)[0]
    }));
  }

  function look() {
    if (!due || page.prerendering || page.hidden && !wait) return;
    address = here();
    count(page.title);
  }

  // Navigation: the new title follows the address a little later, or never.
  function moved(event) {
    if (event.navigationType !== 'replace' && here() !== address) {
      if (wait) count(former, 1);
      due = true;
      former = address && page.title;
      if (!page.hidden) wait = setTimeout(look, 500);
    }
    address = here();
  }

  function start() {
    // Of several tags, also in frames, one counts. A removed frame's mark is void.
    var root = around.documentElement;
    if (root[mark] && root[mark].defaultView) return;
    root[mark] = page;

    // A view counts when seen, and again from the back/forward cache.
    page.addEventListener('prerenderingchange', look);
    page.addEventListener('visibilitychange', look);
    addEventListener('pagehide', function () {
      look();
      due = true;
      addEventListener('pageshow', look);
    });
    if (spa != null) {
      if (window.navigation) navigation.addEventListener('currententrychange', moved);
      else {
        var push = history.pushState;
        history.pushState = function () { push.apply(history, arguments); moved(root); };
        addEventListener('popstate', moved);
      }
      moved(root);
    } else look();
  }

  // A frame's view is that of the page around it, if that page has a tag.
  try { around = top.document || page; } catch (e) {}
  around === page || around.readyState === 'complete' ? start() : top.addEventListener('load', start);
})(document);
