CREATE TABLE cvkit_schema (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE runs (
    id INTEGER NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start DATETIME NOT NULL,
    window_end DATETIME NOT NULL,
    reference_id TEXT NOT NULL,
    rules_id TEXT NOT NULL,
    status TEXT NOT NULL,
    started DATETIME,
    finished DATETIME,
    images INTEGER,
    bad_images INTEGER,
    error TEXT NOT NULL,
    cvkit_version TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (model, version, window_start, window_end)
);

CREATE TABLE reports (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    notebook TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start DATETIME NOT NULL,
    window_end DATETIME NOT NULL,
    status TEXT NOT NULL,
    path TEXT NOT NULL,
    started DATETIME,
    finished DATETIME,
    error TEXT NOT NULL,
    PRIMARY KEY (model, version, notebook, source, window_start, window_end)
);

CREATE TABLE streams (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    feature TEXT NOT NULL,
    state JSON NOT NULL,
    PRIMARY KEY (model, version, reference_id, source, feature)
);

CREATE TABLE slots (
    job TEXT NOT NULL,
    slot DATETIME NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    started DATETIME,
    finished DATETIME,
    error TEXT NOT NULL,
    PRIMARY KEY (job, slot)
);

CREATE TABLE measurements (
    run INTEGER NOT NULL,
    source TEXT,
    feature TEXT,
    metric TEXT,
    value DOUBLE,
    low DOUBLE,
    high DOUBLE,
    expected DOUBLE,
    expected_low DOUBLE,
    expected_high DOUBLE,
    effect DOUBLE,
    p_value DOUBLE,
    p_adjusted DOUBLE,
    n BIGINT,
    n_reference BIGINT,
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX ix_measurements_run ON measurements (run);

CREATE TABLE verdicts (
    run INTEGER NOT NULL,
    source TEXT,
    rule TEXT,
    feature TEXT,
    state TEXT,
    reason TEXT,
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX ix_verdicts_run ON verdicts (run);
