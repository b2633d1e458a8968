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
    labels TEXT NOT NULL,
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

CREATE TABLE told (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start DATETIME NOT NULL,
    features TEXT NOT NULL,
    numbers BLOB NOT NULL,
    PRIMARY KEY (model, version, reference_id, source, window_start)
);

CREATE TABLE evidence (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    source TEXT NOT NULL,
    window_start DATETIME NOT NULL,
    features TEXT NOT NULL,
    numbers BLOB NOT NULL,
    left_out JSON,
    PRIMARY KEY (model, version, reference_id, source, window_start)
);

CREATE TABLE evaluations (
    id INTEGER NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start DATETIME NOT NULL,
    window_end DATETIME NOT NULL,
    source TEXT NOT NULL,
    made DATETIME NOT NULL,
    labelled INTEGER NOT NULL,
    numbers JSON NOT NULL,
    PRIMARY KEY (id)
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

CREATE TABLE alerts (
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    since DATETIME NOT NULL,
    until DATETIME,
    seen_start DATETIME NOT NULL,
    seen_end DATETIME NOT NULL,
    returns INTEGER NOT NULL,
    changed DATETIME NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    hushed TEXT NOT NULL,
    snoozed_until DATETIME,
    inhibited BOOLEAN NOT NULL,
    told_severity TEXT NOT NULL,
    sent DATETIME,
    facts JSON NOT NULL,
    PRIMARY KEY (fingerprint)
);

CREATE TABLE alert_log (
    id INTEGER NOT NULL,
    time DATETIME NOT NULL,
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    action TEXT NOT NULL,
    severity TEXT NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    until DATETIME,
    PRIMARY KEY (id)
);

CREATE INDEX ix_alert_log_fingerprint ON alert_log (fingerprint);

CREATE TRIGGER IF NOT EXISTS alert_log_update BEFORE UPDATE ON alert_log BEGIN SELECT RAISE(ABORT, 'the log of alerts can only grow'); END;

CREATE TRIGGER IF NOT EXISTS alert_log_delete BEFORE DELETE ON alert_log BEGIN SELECT RAISE(ABORT, 'the log of alerts can only grow'); END;

CREATE TABLE decisions (
    id INTEGER NOT NULL,
    made DATETIME NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    window_start DATETIME,
    window_end DATETIME,
    evidence TEXT NOT NULL,
    action TEXT NOT NULL,
    policy TEXT NOT NULL,
    source TEXT NOT NULL,
    why TEXT NOT NULL,
    decision JSON NOT NULL,
    facts JSON NOT NULL,
    PRIMARY KEY (id)
);

CREATE TRIGGER IF NOT EXISTS decisions_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'the list of decisions can only grow'); END;

CREATE TRIGGER IF NOT EXISTS decisions_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'the list of decisions can only grow'); END;

CREATE TABLE alert_overrides (
    id INTEGER NOT NULL,
    made DATETIME NOT NULL,
    model TEXT NOT NULL,
    rule TEXT NOT NULL,
    changes JSON NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    until DATETIME NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE outbox (
    place INTEGER NOT NULL,
    id TEXT NOT NULL,
    model TEXT NOT NULL,
    channel TEXT NOT NULL,
    fingerprints JSON NOT NULL,
    body JSON NOT NULL,
    status TEXT NOT NULL,
    made DATETIME NOT NULL,
    due DATETIME NOT NULL,
    attempts INTEGER NOT NULL,
    leased_until DATETIME,
    sent DATETIME,
    error TEXT NOT NULL,
    PRIMARY KEY (place),
    UNIQUE (id)
);

CREATE TABLE measurements (
    run INTEGER NOT NULL,
    source TEXT,
    feature TEXT,
    metric TEXT,
    class_name TEXT,
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

CREATE INDEX measurements_by_run ON measurements (run, source);

CREATE INDEX measurements_by_feature ON measurements (feature, run, source);

CREATE TABLE verdicts (
    run INTEGER NOT NULL,
    source TEXT,
    rule TEXT,
    feature TEXT,
    state TEXT,
    reason TEXT,
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE INDEX verdicts_by_run ON verdicts (run, source);

CREATE INDEX verdicts_by_feature ON verdicts (feature, run, source);

CREATE TABLE worst (
    run INTEGER NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    rule TEXT NOT NULL,
    feature TEXT NOT NULL,
    PRIMARY KEY (run, source),
    FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
