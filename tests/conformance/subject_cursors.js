// What the behaviour cases ask of cursors, as subject_cursors.py says it.
import { DurableObject } from "cloudflare:workers";

export class Subject extends DurableObject {
  sql(query, ...bindings) {
    return this.ctx.storage.sql.exec(query, ...bindings).toArray();
  }

  steps(query, count) {
    const cursor = this.ctx.storage.sql.exec(query);
    return Array.from({ length: count }, () => {
      const { done, value } = cursor.next();
      return done ? null : value;
    });
  }

  oneAndRest(query) {
    const cursor = this.ctx.storage.sql.exec(query);
    return [cursor.one(), cursor.toArray()];
  }

  namesBeforeAndAfter(query) {
    const cursor = this.ctx.storage.sql.exec(query);
    const before = cursor.columnNames;
    const raw = [...cursor.raw()];
    return [before, raw, cursor.columnNames];
  }

  counters(query) {
    const cursor = this.ctx.storage.sql.exec(query);
    const seen = [[cursor.rowsRead, cursor.rowsWritten]];
    for (const _ of cursor) seen.push([cursor.rowsRead, cursor.rowsWritten]);
    return seen;
  }

  twoOfOne(query) {
    const first = this.ctx.storage.sql.exec(query);
    const second = this.ctx.storage.sql.exec(query);
    const raw = first.raw();
    return [raw.next().value, second.next().value, raw.next().value, second.next().value];
  }

  acrossAChange() {
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const query = "SELECT * FROM t";
    const before = sql.exec(query).toArray();
    sql.exec("ALTER TABLE t ADD COLUMN b DEFAULT 2");
    return [before, sql.exec(query).toArray()];
  }

  sizes() {
    const { sql } = this.ctx.storage;
    const sizes = [sql.databaseSize];
    for (const statement of ["CREATE TABLE t(n)", "CREATE TABLE u(n)", "DROP TABLE u", "DROP TABLE t"]) {
      sql.exec(statement);
      sizes.push(sql.databaseSize);
    }
    return sizes;
  }

  cursorWithoutAHandle() {
    const made = () => {
      const { sql } = this.ctx.storage;
      return sql.exec("WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT i FROM n");
    };
    return made().toArray().reduce((sum, row) => sum + row.i, 0);
  }
}
