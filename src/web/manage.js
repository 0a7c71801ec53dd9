// Comfort for the editors' pages, which work without it: numbers refreshed in place, tables filtered while one types.
(function () {
  'use strict';
  var INTERVAL_MS = 10000, ROWS_INTERVAL_MS = 2000;
  var now = document.body.dataset.now;

  // Fills each element with the answer's text of its name.
  function fill(texts) {
    document.querySelectorAll('[data-live]').forEach(function (element) {
      var text = texts[element.dataset.live];
      if (text !== undefined && element.textContent !== text) element.textContent = text;
    });
  }

  function refresh() {
    if (document.hidden) return;
    fetch(now, { credentials: 'same-origin' }).then(function (answer) {
      return answer.ok ? answer.json() : {};
    }).then(fill).catch(function () {});
  }

  if (now) {
    setInterval(refresh, INTERVAL_MS);
    document.addEventListener('visibilitychange', refresh);
  }

  // Replaces a log's rows by the newest.
  document.querySelectorAll('[data-rows]').forEach(function (table) {
    var body = table.tBodies[0], shown = '';
    function show(rows) {
      var text = JSON.stringify(rows);
      if (text === shown) return;
      shown = text;
      body.replaceChildren.apply(body, rows.map(function (row) {
        var line = document.createElement('tr');
        line.dataset.counts = row.counts;
        [row.time, row.page, row.verdict].forEach(function (value) {
          line.insertCell().textContent = value;
        });
        return line;
      }));
    }
    setInterval(function () {
      if (document.hidden) return;
      fetch(table.dataset.rows, { credentials: 'same-origin' }).then(function (answer) {
        return answer.ok ? answer.json() : Promise.reject();
      }).then(show).catch(function () {});
    }, ROWS_INTERVAL_MS);
  });

  // Hides rows without the text.
  document.querySelectorAll('[data-filter]').forEach(function (field) {
    var table = document.getElementById(field.dataset.filter);
    if (!table) return;
    var rows = Array.prototype.map.call(table.tBodies[0].rows, function (row) {
      return { row: row, text: row.cells[0].textContent.toLowerCase() };
    });
    field.addEventListener('input', function () {
      var sought = field.value.trim().toLowerCase();
      rows.forEach(function (each) {
        each.row.hidden = each.text.indexOf(sought) < 0;
      });
    });
  });
})();
