CREATE TABLE cvkit_schema (
    version SERIAL NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE runs (
    id SERIAL NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    window_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    reference_id TEXT NOT NULL,
    rules_id TEXT NOT NULL,
    status TEXT NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
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
    window_start TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    window_end TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    path TEXT NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
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
    slot TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    started TIMESTAMP WITHOUT TIME ZONE,
    finished TIMESTAMP WITHOUT TIME ZONE,
    error TEXT NOT NULL,
    PRIMARY KEY (job, slot)
);

CREATE TABLE measurements (
    run INTEGER NOT NULL,
    source TEXT,
    feature TEXT,
    metric TEXT,
    value DOUBLE PRECISION,
    low DOUBLE PRECISION,
    high DOUBLE PRECISION,
    expected DOUBLE PRECISION,
    expected_low DOUBLE PRECISION,
    expected_high DOUBLE PRECISION,
    effect DOUBLE PRECISION,
    p_value DOUBLE PRECISION,
    p_adjusted DOUBLE PRECISION,
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
