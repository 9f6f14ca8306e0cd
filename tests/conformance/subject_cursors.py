"""What the behaviour cases ask of cursors."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202

import gc

from perdure import DurableObject


class Subject(DurableObject):
    def sql(self, query, *bindings):
        return self.ctx.storage.sql.exec(query, *bindings).to_array()

    def steps(self, query, count):
        """What so many steps give, and None where there is no row."""
        cursor = self.ctx.storage.sql.exec(query)
        return [next(cursor, None) for _ in range(count)]

    def one_and_rest(self, query):
        cursor = self.ctx.storage.sql.exec(query)
        return [cursor.one(), cursor.to_array()]

    def names_before_and_after(self, query):
        cursor = self.ctx.storage.sql.exec(query)
        before = list(cursor.column_names)
        raw = [list(row) for row in cursor.raw()]
        return [before, raw, list(cursor.column_names)]

    def counters(self, query):
        """`rows_read` and `rows_written` before the first row, and after each."""
        cursor = self.ctx.storage.sql.exec(query)
        seen = [[cursor.rows_read, cursor.rows_written]]
        seen.extend([cursor.rows_read, cursor.rows_written] for _ in cursor)
        return seen

    def two_of_one(self, query):
        """Two cursors of one text, read in turns; the first raw."""
        first, second = self.ctx.storage.sql.exec(query), self.ctx.storage.sql.exec(query)
        raw, rows = first.raw(), iter(second)
        return [list(next(raw)), next(rows), list(next(raw)), next(rows)]

    def across_a_change(self):
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)")
        query = "SELECT * FROM t"
        before = sql.exec(query).to_array()
        sql.exec("ALTER TABLE t ADD COLUMN b DEFAULT 2")
        return [before, sql.exec(query).to_array()]

    def sizes(self):
        sql = self.ctx.storage.sql
        sizes = [sql.database_size]
        for statement in ("CREATE TABLE t(n)", "CREATE TABLE u(n)", "DROP TABLE u", "DROP TABLE t"):
            sql.exec(statement)
            sizes.append(sql.database_size)
        return sizes

    def cursor_without_a_handle(self):
        def made():
            sql = self.ctx.storage.sql
            return sql.exec("WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT i FROM n")

        cursor = made()
        gc.collect()
        return sum(row["i"] for row in cursor.to_array())
