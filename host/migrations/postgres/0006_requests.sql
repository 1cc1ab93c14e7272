-- HTTP requests of accounts that are not answered. `started`: it may have left this host.
CREATE TABLE request (
    account        TEXT COLLATE "C" NOT NULL,
    id             BYTEA NOT NULL,
    started        BIGINT NOT NULL,
    request_sealed BYTEA NOT NULL, -- label and request
    PRIMARY KEY (account, id)
);
