-- HTTP requests of accounts that are not answered. `started`: it may have left this host.
CREATE TABLE request (
    account        TEXT NOT NULL,
    id             BLOB NOT NULL,
    started        INTEGER NOT NULL,
    request_sealed BLOB NOT NULL, -- label and request
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
