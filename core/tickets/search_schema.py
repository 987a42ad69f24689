"""The search tables: what the ORM cannot describe. The first migration executes these."""

SQLITE_DDL: tuple[str, ...] = (
    # Contentless: the text is in `articles` already. Both sides are folded by core.text.fold,
    # so the tokenizer only has to find words. It cuts at punctuation; what a search keeps
    # together ("K-1000", a mail address) is looked for as a phrase.
    "CREATE VIRTUAL TABLE article_search USING fts5("
    "subject, body, content='', tokenize='unicode61 remove_diacritics 0')",
)

POSTGRESQL_DDL: tuple[str, ...] = (
    "CREATE TABLE article_search ("
    "article_id integer PRIMARY KEY REFERENCES articles (id), document tsvector NOT NULL)",
    # Every search walks what new articles have put on the pending list: keep it short.
    "CREATE INDEX ix_article_search_document ON article_search USING gin (document) "
    "WITH (gin_pending_list_limit = 256)",
)
