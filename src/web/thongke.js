// Counts a page view and shows the figures.
(function (doc) {
  var script = doc.currentScript || doc.querySelector('script[data-site][src*="thongke"]');
  var site = script && script.dataset.site;
  var mark = 'thongke' + site;
  var around = doc;
  var due = true, address, former, wait, claimed, sent, said;

  // Says once why a view isn't counted.
  function explain(why) {
    if (!said) console.warn(said = 'thongke: ' + why);
  }

  if (!site) return explain('no data-site');
  var asks = script.dataset.query || '', router = script.dataset.spa;

  // A route behind # is part of the address under data-spa="hash".
  function here() { return location.href.split(router == 'hash' ? /#(?![!/])/ : '#')[0].slice(0, 2500); }

  function each(asks, then, box) {
    (box || doc).querySelectorAll(asks).forEach(then);
  }

  function encoded(href) { return href.replace(/[#&+]|%(?![89A-F])/gi, encodeURIComponent); }

  function add(box, tag, name, text) {
    var row = box.appendChild(doc.createElement(tag));
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
      if (body && data.detail) explain(data.detail);
      then(data);
    }).catch(function (error) { if (body) explain('blocked or offline: ' + error); });
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
    data.figures.forEach(function (one) {
      var row = rows[one.key] || add(list, 'li', 'figure');
      row.dataset.figure = one.key;
      row.textContent = one.label + ' : ';
      add(row, 'span', 'value', one.text);
    });
  }

  function show(data) {
    // Beyond a limit the view isn't counted, and is shown the figures.
    if (data.status == 429) return ask('figures?' + asks, show);
    data.closed || data.figures[0].key;
    if (doc.readyState === 'loading') return doc.addEventListener('DOMContentLoaded', show.bind(doc, data));
    var boxes = '[data-thongke=""],[data-thongke="' + site + '"]', views = [], urls = '';

    // A request holds as many views as fit an address.
    function send() {
      var asked = views;
      if (urls) ask('pages/figures?' + (/language=\w+/.exec(asks) || '') + urls, function (data) {
        asked.forEach(gone.bind(doc, data));
        data.pages.forEach(function (item, at) {
          if (item.page) asked[at].textContent = item.figures[0].text;
        });
      });
      views = [];
      urls = '';
    }

    if (!doc.querySelector(boxes) && !data.closed) {
      var box = add(doc.body, 'div', 'box');
      box.dataset.thongke = site;
      if (doc.body.contains(script)) script.after(box);
    }
    each(boxes, function (box) {
      if (box.dataset.query) ask('figures?' + box.dataset.query, fill.bind(doc, box));
      else fill(box, data);
    });
    each('[data-thongke-page]', function (place) {
      var anchor = doc.createElement('a');
      anchor.href = place.dataset.thongkePage || here();
      // Short: encoded once, and a path if of this origin.
      var url = '&url=' + encoded(anchor.href.replace(location.origin + '/', '/'));
      if (sent && !place.dataset.thongkePage) url += '&canonical=' + encoded(sent);
      if (views.length > 49 || (urls + url).length > 5e3) send();
      urls += url;
      views.push(place);
    });
    send();
    each('[data-thongke-top]', function (list) {
      ask('pages?' + list.dataset.thongkeTop, function (data) {
        gone(data, list);
        if (data.pages) list.textContent = '';
        data.pages.forEach(function (item) {
          var row = add(list, 'li', 'page');
          var anchor = add(row, 'a', 'link', item.title || item.page);
          if (item.link) anchor.href = location.origin + item.link;
          add(row, 'span', 'value', ' ' + item.text);
        });
      });
    });
  }

  // A view that ends early has no canonical address: it may be the next page's, or the former's.
  function count(title, early) {
    wait = due = clearTimeout(wait);
    sent = script.dataset.page || '';
    // A single-page site may keep the first page's. Both addresses fit a hit.
    if (!sent && !early) each('[rel=canonical]', function (anchor) {
      if (anchor.href != claimed && (address + anchor.href).length < 3e3) sent = anchor.href;
      if (router != null) claimed = anchor.href;
    });
    ask(asks, show, JSON.stringify({
      site: site, url: address, canonical: sent, webdriver: navigator.webdriver,
      title: title === former ? '' : /^[^\ud800-\udfff]{0,200}/u.exec(title)[0]
    }));
  }

  function look() {
    if (!due || doc.prerendering || doc.hidden && !wait) return;
    address = here();
    count(doc.title);
  }

  // Navigation: the new title follows the address a little later, or never.
  function moved(event) {
    if (event.navigationType !== 'replace' && here() !== address) {
      if (wait) count(former, 1);
      due = true;
      former = address && doc.title;
      if (!doc.hidden) wait = setTimeout(look, 500);
    }
    address = here();
  }

  function start() {
    // Of several tags, also in frames, one counts. A removed frame's mark is void.
    var root = around.documentElement;
    if (root[mark] && root[mark].defaultView) return;
    root[mark] = doc;

    // A view counts when seen, and again from the back/forward cache.
    doc.addEventListener('prerenderingchange', look);
    doc.addEventListener('visibilitychange', look);
    addEventListener('pagehide', function () {
      look();
      due = true;
      addEventListener('pageshow', look);
    });
    if (router != null) {
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
  try { around = top.document || doc; } catch (error) {}
  around === doc || around.readyState === 'complete' ? start() : top.addEventListener('load', start);
})(document);
