"use strict";
(function () {
  // Every name is text: no markup is built from data.
  const data = JSON.parse(document.getElementById("data").textContent);
  const LEVELS = ["none", "become", "unusable", "connect", "read", "write", "owner"];
  const WORDS = {
    none: "", become: "can become", unusable: "not usable", connect: "connect", read: "read",
    write: "write", owner: "owner",
  };
  const LEGEND = {
    owner: "owns the database or a schema",
    write: "may insert, update, delete or truncate in at least one table",
    read: "may read at least one table or sequence",
    connect: "may connect, without a privilege on tables",
    unusable: "has privileges that it cannot use without CONNECT on the database or USAGE on the schema",
    become: "has no privilege, but may become a role that has, or has a power",
  };
  const STATUS = {
    unmanaged: "not managed", not_declared_here: "managed, not declared here", declared: "declared",
    administrator: "administrator", public: "all roles",
  };
  const PAGE = 300;
  const of = (id) => document.getElementById(id);
  /** Sets the text of an element. A name may continue on the next line after `_`, `-`, `.` and `:` only. */
  const setText = (one, text) => {
    const parts = text.split(/(?<=[_.:-])(?=[^\s_.:-])/);
    one.replaceChildren(...parts.flatMap((part) => [document.createElement("wbr"), part]).slice(1));
  };
  const element = (name, text, className) => {
    const one = document.createElement(name);
    if (text !== undefined) setText(one, text);
    if (className) one.className = className;
    return one;
  };

  let sort = { column: null, descending: false };
  let limit = PAGE;
  let opened = null;

  // The status of a role that is shown beside its name: the first of all its databases in this order.
  const ORDER = ["public", "unmanaged", "not_declared_here", "administrator", "declared"];
  for (const role of data.roles) {
    role.statuses = new Set(role.access.map((one) => one.status));
    role.status = ORDER.find((status) => role.statuses.has(status)) || "declared";
    role.byDatabase = new Map(role.access.map((one) => [one.database, one]));
  }
  data.databases.forEach((database, number) => {
    of("database").append(new Option(database.name, String(number)));
  });

  /** Returns the columns after those of the role: databases, or schemas of databases. */
  function columns() {
    const wanted = of("database").value;
    const found = [];
    data.databases.forEach((database, number) => {
      if (wanted !== "" && wanted !== String(number)) return;
      if (!of("schemas").checked || database.schemas.length === 0) {
        found.push({ database: number, schema: null, title: database.name });
        return;
      }
      for (const schema of database.schemas) {
        found.push({ database: number, schema, title: database.name + " · " + schema });
      }
    });
    return found;
  }

  /** Returns the level of a role in a column. */
  function levelAt(role, column) {
    const access = role.byDatabase.get(column.database);
    if (!access) return "none";
    if (column.schema === null) return access.level;
    const schema = access.schemas.find((one) => one.name === column.schema);
    if (schema) return schema.level;
    return access.level === "become" ? "become" : "none";
  }

  function visibleRoles() {
    const text = of("role").value.toLowerCase();
    const status = of("status").value;
    const wanted = of("database").value;
    return data.roles.filter((role) => {
      if (role.administrative && !of("administrators").checked) return false;
      if (of("login").checked && !role.login && !role.public) return false;
      if (text && !role.name.toLowerCase().includes(text)) return false;
      const access = wanted === "" ? role.access : role.access.filter((one) => String(one.database) === wanted);
      if (access.length === 0) return false;
      return !status || access.some((one) => one.status === status);
    });
  }

  function sorted(roles) {
    if (sort.column === null) return roles;
    const value = {
      role: (role) => role.name,
      status: (role) => ORDER.indexOf(role.status),
      login: (role) => (role.login ? 0 : 1),
    }[sort.column] || ((role) => -LEVELS.indexOf(levelAt(role, sort.column)));
    const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    const result = roles.slice().sort((a, b) => order(value(a), value(b)));
    return sort.descending ? result.reverse() : result;
  }

  function isSorted(column) {
    if (typeof column === "string" || sort.column === null || typeof sort.column === "string") {
      return sort.column === column;
    }
    return sort.column.database === column.database && sort.column.schema === column.schema;
  }

  function header(title, column) {
    const cell = element("th");
    cell.scope = "col";
    const current = isSorted(column);
    if (current) cell.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    const button = element("button", title);
    button.type = "button";
    button.addEventListener("click", () => {
      sort = { column, descending: current && !sort.descending };
      const index = Array.prototype.indexOf.call(cell.parentNode.children, cell);
      draw();
      document.querySelectorAll("#matrix thead th")[index].querySelector("button").focus();
    });
    cell.append(button);
    return cell;
  }

  function draw() {
    const shown = columns();
    const roles = sorted(visibleRoles());
    const head = element("tr");
    head.append(header("Role", "role"), header("Status", "status"), header("Login", "login"));
    for (const column of shown) head.append(header(column.title, column));
    document.querySelector("#matrix thead").replaceChildren(head);
    const rows = roles.slice(0, limit).map((role) => {
      const row = element("tr");
      const name = element("th", role.name);
      name.scope = "row";
      const alert = role.status === "unmanaged" || role.status === "not_declared_here";
      row.append(name, element("td", STATUS[role.status], alert && !role.administrative ? "alert" : ""));
      row.append(element("td", role.public ? "" : role.login ? "yes" : "no"));
      for (const column of shown) row.append(cell(role, column));
      return row;
    });
    document.querySelector("#matrix tbody").replaceChildren(...rows);
    of("more").hidden = roles.length <= limit;
    const hidden = roles.length - rows.length;
    const left = hidden > 0 ? ", the first " + rows.length + " shown" : "";
    of("count").textContent = roles.length + (roles.length === 1 ? " role" : " roles") + left + ", " +
      data.databases.length + (data.databases.length === 1 ? " database" : " databases");
  }

  function cell(role, column) {
    const cell = element("td");
    const database = data.databases[column.database];
    const level = levelAt(role, column);
    if (database.unreachable !== null) {
      setText(cell, "cannot be read");
    } else if (level !== "none") {
      const button = element("button", WORDS[level], "level " + level);
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-controls", "details");
      button.setAttribute("aria-label", role.name + ", " + column.title + ": " + WORDS[level]);
      button.addEventListener("click", () => open(role, column.database, button));
      cell.append(button);
    }
    return cell;
  }

  function close() {
    of("details").hidden = true;
    if (opened) {
      opened.setAttribute("aria-expanded", "false");
      if (opened.isConnected) opened.focus();
    }
    opened = null;
  }

  function open(role, number, button) {
    if (opened) opened.setAttribute("aria-expanded", "false");
    opened = button;
    button.setAttribute("aria-expanded", "true");
    const access = role.byDatabase.get(number);
    const database = data.databases[number];
    setText(of("details-title"), role.name + " in database " + database.name);
    const facts = element("dl");
    const fact = (name, values) => {
      if (values.length > 0) facts.append(element("dt", name), element("dd", values.join(", ")));
    };
    fact("Status", [access.description]);
    fact("May log in", role.public ? [] : [role.login ? "yes" : "no"]);
    fact("Owner of the database", [database.owner]);
    fact("Inherits from", access.inherits);
    fact("May become", access.may_become);
    fact("Powers", access.powers);
    const table = element("table");
    const head = element("tr");
    for (const title of ["Object", "Privileges", "Comes from"]) {
      const one = element("th", title);
      one.scope = "col";
      head.append(one);
    }
    const body = element("tbody");
    const line = (object, privileges, through) => {
      const row = element("tr");
      const name = element("th", object);
      name.scope = "row";
      row.append(name, element("td", privileges || "none"), element("td", through.join(", ")));
      body.append(row);
    };
    line("database", access.privileges, access.through);
    for (const schema of access.schemas) {
      line("schema " + schema.name, schema.privileges, schema.through);
      for (const objects of schema.objects) {
        const columns = objects.on_columns ? objects.on_columns + " on some columns" : "";
        const words = [objects.privileges, columns].filter(Boolean).join(", ");
        const title = objects.count + " of " + objects.all + " " + objects.kind + "s in " + schema.name;
        line(title, words, objects.through);
      }
    }
    const thead = element("thead");
    thead.append(head);
    table.append(thead, body);
    const wide = element("div", undefined, "wide");
    wide.append(table);
    of("details-body").replaceChildren(facts, wide);
    of("details").hidden = false;
    of("details-title").focus();
  }

  for (const one of document.querySelectorAll("header > *")) setText(one, one.textContent);
  for (const [level, words] of Object.entries(LEGEND)) {
    of("legend").append(element("dt", WORDS[level], level), element("dd", words));
  }
  of("filters").addEventListener("input", () => { limit = PAGE; draw(); });
  of("filters").addEventListener("submit", (event) => event.preventDefault());
  of("more").addEventListener("click", () => { limit = Infinity; draw(); });
  of("close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && opened) close(); });
  draw();
})();
