CREATE TABLE sermo_image (
	sha256 VARCHAR(64) NOT NULL, 
	media_type VARCHAR(255), 
	bytes INTEGER NOT NULL, 
	content BYTEA NOT NULL, 
	CONSTRAINT pk_sermo_image PRIMARY KEY (sha256)
);
CREATE TABLE sermo_session (
	id BIGSERIAL NOT NULL, 
	session_id UUID NOT NULL, 
	platform_id VARCHAR(255) NOT NULL, 
	user_id VARCHAR(255) NOT NULL, 
	ordinal INTEGER NOT NULL, 
	live SMALLINT, 
	previous_close_reason VARCHAR(32), 
	resumed BOOLEAN NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	opened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	closed_at TIMESTAMP WITH TIME ZONE, 
	close_reason VARCHAR(32), 
	agent_id VARCHAR(255), 
	agent_name TEXT, 
	agent_type TEXT, 
	queue_number BIGINT, 
	queued_at TIMESTAMP WITH TIME ZONE, 
	flow_group_id TEXT, 
	platform_closed_at TIMESTAMP WITH TIME ZONE, 
	last_seen_at TIMESTAMP WITH TIME ZONE, 
	last_read_at TIMESTAMP WITH TIME ZONE, 
	customer_typed_at TIMESTAMP WITH TIME ZONE, 
	last_reply_at TIMESTAMP WITH TIME ZONE, 
	last_reply_by VARCHAR(32), 
	expires_at TIMESTAMP WITH TIME ZONE, 
	row_count INTEGER NOT NULL, 
	expiry_set_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expiry_reason VARCHAR(32) NOT NULL, 
	effective_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	kept_state VARCHAR(32), 
	customer_text_at TIMESTAMP WITH TIME ZONE, 
	typing_on_at TIMESTAMP WITH TIME ZONE, 
	typing_ended_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_sermo_session PRIMARY KEY (id), 
	CONSTRAINT ck_sermo_session_live CHECK ((live = 1 AND state <> 'closed') OR (live IS NULL AND state = 'closed')), 
	CONSTRAINT uq_sermo_session_platform_id_user_id_live UNIQUE (platform_id, user_id, live), 
	CONSTRAINT uq_sermo_session_platform_id_user_id_ordinal UNIQUE (platform_id, user_id, ordinal), 
	CONSTRAINT uq_sermo_session_session_id UNIQUE (session_id)
);
COMMENT ON COLUMN sermo_session.session_id IS 'UUIDv5 of user, platform and ordinal';
COMMENT ON COLUMN sermo_session.ordinal IS 'n-th session of this user';
COMMENT ON COLUMN sermo_session.live IS '1, or NULL once closed: unique per user';
COMMENT ON COLUMN sermo_session.row_count IS 'rows of its history';
COMMENT ON COLUMN sermo_session.effective_at IS 'of its latest row';
COMMENT ON COLUMN sermo_session.kept_state IS 'what the clock took it from';
CREATE INDEX ix_sermo_session_expires_at ON sermo_session (expires_at) WHERE live = 1;
CREATE INDEX ix_sermo_session_state_platform_id ON sermo_session (state, platform_id) WHERE live = 1;
CREATE TABLE sermo_history (
	id BIGSERIAL NOT NULL, 
	session_key BIGINT, 
	seq INTEGER, 
	direction VARCHAR(32), 
	type VARCHAR(255), 
	trigger_name VARCHAR(32), 
	from_state VARCHAR(32), 
	to_state VARCHAR(32), 
	outcome VARCHAR(32) NOT NULL, 
	received_at TIMESTAMP WITH TIME ZONE, 
	effective_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	sent_at TIMESTAMP WITH TIME ZONE, 
	message_id VARCHAR(255), 
	fingerprint BYTEA, 
	agent_id VARCHAR(255), 
	reason TEXT, 
	last_seen_at TIMESTAMP WITH TIME ZONE, 
	platform_id VARCHAR(255), 
	user_id VARCHAR(255), 
	CONSTRAINT pk_sermo_history PRIMARY KEY (id), 
	CONSTRAINT fk_sermo_history_session_key FOREIGN KEY(session_key) REFERENCES sermo_session (id), 
	CONSTRAINT uq_sermo_history_direction_message_id UNIQUE (direction, message_id), 
	CONSTRAINT uq_sermo_history_session_key_seq UNIQUE (session_key, seq)
);
COMMENT ON COLUMN sermo_history.id IS 'grows with every row written';
COMMENT ON COLUMN sermo_history.session_key IS 'NULL for strays';
COMMENT ON COLUMN sermo_history.sent_at IS 'the sender''s own clock, never trusted';
COMMENT ON COLUMN sermo_history.fingerprint IS 'of the event, where it has an id';
COMMENT ON COLUMN sermo_history.agent_id IS 'the human in charge after the row';
COMMENT ON COLUMN sermo_history.last_seen_at IS 'on the row that closes';
COMMENT ON COLUMN sermo_history.platform_id IS 'of strays; the others have their session''s';
COMMENT ON COLUMN sermo_history.user_id IS 'likewise';
CREATE INDEX ix_sermo_history_strays ON sermo_history (id) WHERE session_key IS NULL;
CREATE TABLE sermo_body (
	history_id BIGINT NOT NULL, 
	event TEXT, 
	raw TEXT, 
	image_sha256 VARCHAR(64), 
	CONSTRAINT pk_sermo_body PRIMARY KEY (history_id), 
	CONSTRAINT fk_sermo_body_history_id FOREIGN KEY(history_id) REFERENCES sermo_history (id), 
	CONSTRAINT fk_sermo_body_image_sha256 FOREIGN KEY(image_sha256) REFERENCES sermo_image (sha256)
);
COMMENT ON COLUMN sermo_body.event IS 'JSON, without unsent text, images described';
COMMENT ON COLUMN sermo_body.raw IS 'of an invalid event, at most 64 KiB';
CREATE INDEX ix_sermo_body_image_sha256 ON sermo_body (image_sha256);
CREATE TABLE sermo_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT sermo_alembic_version_pkc PRIMARY KEY (version_num)
);
DROP INDEX ix_sermo_session_expires_at;
DROP INDEX ix_sermo_session_state_platform_id;
DROP INDEX ix_sermo_history_strays;
CREATE INDEX ix_sermo_session_live_expires_at ON sermo_session (live, expires_at) WHERE live = 1;
CREATE INDEX ix_sermo_session_live_state_platform_id_opened_at_id ON sermo_session (live, state, platform_id, opened_at, id) WHERE live = 1;
CREATE INDEX ix_sermo_session_opened_at_id ON sermo_session (opened_at, id);
CREATE INDEX ix_sermo_session_platform_id_opened_at_id ON sermo_session (platform_id, opened_at, id);
CREATE INDEX ix_sermo_session_user_id_opened_at_id ON sermo_session (user_id, opened_at, id);
CREATE INDEX ix_sermo_session_agent_id_opened_at_id ON sermo_session (agent_id, opened_at, id);
CREATE INDEX ix_sermo_history_strays ON sermo_history (session_key, id) WHERE session_key IS NULL;
CREATE TABLE sermo_chain (
	id BIGINT NOT NULL, 
	last_id BIGINT NOT NULL, 
	row_count BIGINT NOT NULL, 
	late TEXT NOT NULL, 
	gaps TEXT NOT NULL, 
	made_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_sermo_chain PRIMARY KEY (id)
);
COMMENT ON COLUMN sermo_chain.id IS 'n-th segment';
COMMENT ON COLUMN sermo_chain.last_id IS 'its last row of the history';
COMMENT ON COLUMN sermo_chain.late IS 'ids of before, as JSON';
COMMENT ON COLUMN sermo_chain.gaps IS 'ids that may still come, as JSON';
COMMENT ON COLUMN sermo_chain.digest IS 'SHA-256, of all before it too';
CREATE TABLE sermo_hold (
	platform_id VARCHAR(255) NOT NULL, 
	user_id VARCHAR(255) NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	reason VARCHAR(255) NOT NULL, 
	held_by VARCHAR(255), 
	CONSTRAINT pk_sermo_hold PRIMARY KEY (platform_id, user_id)
);
CREATE TABLE sermo_erasure (
	id BIGSERIAL NOT NULL, 
	erased_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	what VARCHAR(32) NOT NULL, 
	platform_id VARCHAR(255), 
	user_id VARCHAR(255), 
	reason VARCHAR(255), 
	erased_by VARCHAR(255), 
	persons BIGINT NOT NULL, 
	sessions BIGINT NOT NULL, 
	row_count BIGINT NOT NULL, 
	bodies BIGINT NOT NULL, 
	pictures BIGINT NOT NULL, 
	strays BIGINT NOT NULL, 
	CONSTRAINT pk_sermo_erasure PRIMARY KEY (id)
);
COMMENT ON COLUMN sermo_erasure.what IS 'person, or what was kept too long';
COMMENT ON COLUMN sermo_erasure.platform_id IS 'of a person';
COMMENT ON COLUMN sermo_erasure.user_id IS 'of a person: the random one';
COMMENT ON COLUMN sermo_erasure.reason IS 'a code of the caller''s';
COMMENT ON COLUMN sermo_erasure.erased_by IS 'a name that the caller gave';
COMMENT ON COLUMN sermo_erasure.row_count IS 'rows of their history';
ALTER TABLE sermo_session ADD COLUMN previous_session_id UUID;
COMMENT ON COLUMN sermo_session.previous_session_id IS 'of the session before, of this user';
ALTER TABLE sermo_session ADD CONSTRAINT ck_sermo_session_live_unless_closed CHECK ((live IS NULL) = (state = 'closed'));
ALTER TABLE sermo_session SET (fillfactor = 80);
CREATE INDEX ix_sermo_session_live_state_opened_at_id ON sermo_session (live, state, opened_at, id) WHERE live = 1;
ALTER TABLE sermo_session ADD COLUMN due_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN sermo_session.due_at IS 'when the sweeper looks: never after expires_at';
CREATE INDEX ix_sermo_session_live_due_at ON sermo_session (live, due_at) WHERE live = 1;
DROP INDEX ix_sermo_session_live_expires_at;
ALTER TABLE sermo_history DROP COLUMN fingerprint;
INSERT INTO sermo_image (sha256, media_type, bytes, content) VALUES ('c414cd0e204de974f73753c7e28d7638e7b3691bb8b1a2bab6b25bb7fed7ce77', 'image/png', 70, '\x89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fccfc0500f000485018084a98c210000000049454e44ae426082');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (1, '8c24db7f-f5df-5da1-9105-11d1168bc472', 'messenger', 'änna', 1, 1, NULL, FALSE, 'bot', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, '2026-01-15 09:58:00.386000+00:00', 1, '2026-01-15 09:28:00.386000+00:00', 'idle', '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, '2026-01-15 09:58:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (2, 'ebe9d57d-3f69-5d06-b321-4a48f598943c', 'web', 'Anna', 1, 1, NULL, FALSE, 'bot', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, '2026-01-15 09:58:00.386000+00:00', 1, '2026-01-15 09:28:00.386000+00:00', 'idle', '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, '2026-01-15 09:58:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (3, 'd3640a6c-22bf-5806-aedd-873294e4b049', 'web', 'anna', 1, 1, NULL, FALSE, 'open', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:29:00.386000+00:00', NULL, NULL, NULL, NULL, '2026-01-15 09:59:00.386000+00:00', 1, '2026-01-15 09:29:00.386000+00:00', 'idle', '2026-01-15 09:29:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:59:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (4, 'e3970f4e-4ed4-5d05-9a5a-dc36a69d009d', 'web', 'bosse', 1, 1, NULL, FALSE, 'bot', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:30.386000+00:00', 'bot', '2026-01-15 09:59:00.386000+00:00', 4, '2026-01-15 09:29:00.386000+00:00', 'idle', '2026-01-15 09:29:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:30.386000+00:00', NULL, '2026-01-15 09:59:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (5, 'f92806c7-594f-50f1-a295-7727ce6e6b63', 'web', 'cilla', 1, 1, NULL, FALSE, 'queued', '2026-01-15 09:27:30.386000+00:00', '2026-01-15 09:27:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, 12, '2026-01-15 09:27:30.386000+00:00', NULL, NULL, '2026-01-15 09:29:00.386000+00:00', NULL, '2026-01-15 09:29:00.386000+00:00', NULL, NULL, '2026-01-15 09:59:00.386000+00:00', 3, '2026-01-15 09:29:00.386000+00:00', 'idle', '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:27:00.386000+00:00', NULL, NULL, NULL, '2026-01-15 09:59:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (6, 'fa10c08c-3ac0-5cb3-b0ff-3466331c28ee', 'web', 'dan', 1, 1, NULL, FALSE, 'with_agent', '2026-01-15 09:27:00.386000+00:00', '2026-01-15 09:26:00.386000+00:00', NULL, NULL, 'evli07', 'Eva Lindström', 'human', NULL, NULL, NULL, NULL, '2026-01-15 09:29:00.386000+00:00', NULL, '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:27:00.386000+00:00', 'human', '2026-01-15 09:59:00.386000+00:00', 4, '2026-01-15 09:29:00.386000+00:00', 'idle', '2026-01-15 09:29:30.386000+00:00', NULL, '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:27:00.386000+00:00', NULL, '2026-01-15 09:59:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (7, 'ef696ade-436e-5d12-821f-62e6ffb8f1b7', 'web', 'erik', 1, NULL, NULL, FALSE, 'closed', '2026-01-15 09:02:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:02:00.386000+00:00', 'client_left', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:02:00.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:02:30.386000+00:00', 'bot', '2026-01-15 09:03:00.386000+00:00', 3, '2026-01-15 09:02:00.386000+00:00', 'client_left', '2026-01-15 09:02:30.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', NULL, '2026-01-15 09:02:30.386000+00:00', NULL, NULL);
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (8, '7a51fdf9-fe0e-54ba-825b-bb4108127a96', 'web', 'frida', 1, NULL, NULL, FALSE, 'closed', '2026-01-15 09:05:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:05:00.386000+00:00', 'agent_done', 'evli07', 'Eva Lindström', 'human', NULL, '2026-01-15 09:02:00.386000+00:00', NULL, NULL, '2026-01-15 09:01:00.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:06:00.386000+00:00', 'bot', '2026-01-15 09:31:00.386000+00:00', 5, '2026-01-15 09:01:00.386000+00:00', 'idle', '2026-01-15 09:06:00.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:03:00.386000+00:00', '2026-01-15 09:06:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (9, '9fab28be-e4c1-5e66-bf70-06e6e81ac846', 'web', 'frida', 2, 1, 'agent_done', FALSE, 'bot', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, '2026-01-15 09:58:00.386000+00:00', 1, '2026-01-15 09:28:00.386000+00:00', 'idle', '2026-01-15 09:28:00.386000+00:00', NULL, '2026-01-15 09:28:00.386000+00:00', NULL, NULL, '7a51fdf9-fe0e-54ba-825b-bb4108127a96', '2026-01-15 09:58:00.386000+00:00');
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (10, '19d7254b-ba49-5be3-a5c0-aee12114b00a', 'web', 'gunnar', 1, NULL, NULL, FALSE, 'closed', '2026-01-15 09:40:00.386000+00:00', '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:30:00.386000+00:00', 'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-15 09:00:00.386000+00:00', NULL, '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:40:00.386000+00:00', 'bot', '2026-01-15 09:30:00.386000+00:00', 3, '2026-01-15 09:00:00.386000+00:00', 'idle', '2026-01-15 09:40:00.386000+00:00', 'bot', '2026-01-15 09:00:00.386000+00:00', NULL, '2026-01-15 09:40:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (11, '821f2a75-39e7-576b-b2b6-cc870de13585', 'web', 'hanna', 1, NULL, NULL, FALSE, 'closed', '2026-01-15 09:03:00.386000+00:00', '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:03:00.386000+00:00', 'client_unload', 'evli07', 'Eva Lindström', 'human', NULL, NULL, NULL, NULL, '2026-01-15 09:02:00.386000+00:00', NULL, '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', 'human', '2026-01-15 09:03:00.386000+00:00', 4, '2026-01-15 09:02:00.386000+00:00', 'client_unload', '2026-01-15 09:03:00.386000+00:00', 'with_agent', '2026-01-15 09:00:00.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_session (id, session_id, platform_id, user_id, ordinal, live, previous_close_reason, resumed, state, since, opened_at, closed_at, close_reason, agent_id, agent_name, agent_type, queue_number, queued_at, flow_group_id, platform_closed_at, last_seen_at, last_read_at, customer_typed_at, last_reply_at, last_reply_by, expires_at, row_count, expiry_set_at, expiry_reason, effective_at, kept_state, customer_text_at, typing_on_at, typing_ended_at, previous_session_id, due_at) VALUES (12, 'c949e51e-6b62-566d-82af-55eaa786b279', 'web', 'hanna', 2, NULL, 'client_unload', TRUE, 'closed', '2026-01-15 09:35:00.386000+00:00', '2026-01-15 09:05:00.386000+00:00', '2026-01-15 09:35:00.386000+00:00', 'idle', 'evli07', 'Eva Lindström', 'human', NULL, NULL, NULL, NULL, '2026-01-15 09:05:00.386000+00:00', NULL, '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', 'human', '2026-01-15 09:35:00.386000+00:00', 2, '2026-01-15 09:05:00.386000+00:00', 'idle', '2026-01-15 09:35:00.386000+00:00', 'with_agent', '2026-01-15 09:00:00.386000+00:00', NULL, '2026-01-15 09:01:00.386000+00:00', '821f2a75-39e7-576b-b2b6-cc870de13585', NULL);
SELECT setval(pg_get_serial_sequence('sermo_session', 'id'), (SELECT max(id) FROM sermo_session));
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (1, 11, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:00:00.386000+00:00', NULL, 'inbound-01', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (2, 10, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:00:00.386000+00:00', '2026-01-15 09:00:00.386000+00:00', NULL, 'inbound-04', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (3, 11, 2, 'outbound', 'text', 'agent_text', 'bot', 'with_agent', 'moved', '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', NULL, 'outbound-01', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (4, 7, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', NULL, 'inbound-05', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (5, 8, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:01:00.386000+00:00', '2026-01-15 09:01:00.386000+00:00', NULL, 'inbound-07', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (6, 11, 3, 'inbound', 'client_unload', 'client_unload', 'with_agent', 'with_agent', 'stayed', '2026-01-15 09:02:00.386000+00:00', '2026-01-15 09:02:00.386000+00:00', '2026-01-15 09:02:00.100000+00:00', 'inbound-02', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (7, 7, 2, 'inbound', 'client_left', 'client_left', 'bot', 'closed', 'moved', '2026-01-15 09:02:00.386000+00:00', '2026-01-15 09:02:00.386000+00:00', NULL, 'inbound-06', NULL, 'client_left', '2026-01-15 09:02:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (8, 8, 2, 'outbound', 'queue_number', 'queue_number', 'bot', 'queued', 'moved', '2026-01-15 09:02:00.386000+00:00', '2026-01-15 09:02:00.386000+00:00', NULL, 'outbound-04', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (9, 7, 3, 'outbound', 'text', 'bot_text', 'closed', 'closed', 'late', '2026-01-15 09:02:30.386000+00:00', '2026-01-15 09:02:30.386000+00:00', NULL, 'outbound-03', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (10, NULL, NULL, 'inbound', NULL, NULL, NULL, NULL, 'invalid', '2026-01-15 09:04:30+00:00', '2026-01-15 09:04:30+00:00', NULL, NULL, NULL, '$: wanted JSON, got something else, or a part of it', NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (11, NULL, NULL, 'outbound', 'agent_done', 'agent_done', NULL, NULL, 'stray', '2026-01-15 09:03:00.386000+00:00', '2026-01-15 09:03:00.386000+00:00', NULL, 'outbound-15', NULL, 'this user has no session yet, and this event opens none', NULL, 'web', 'nobody');
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (12, 8, 3, 'outbound', 'text', 'agent_text', 'queued', 'with_agent', 'moved', '2026-01-15 09:04:00.386000+00:00', '2026-01-15 09:04:00.386000+00:00', NULL, 'outbound-06', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (13, NULL, NULL, 'outbound', 'system_text', 'system_text', NULL, NULL, 'stray', '2026-01-15 09:04:00.386000+00:00', '2026-01-15 09:04:00.386000+00:00', NULL, 'outbound-16', NULL, 'this user has no session yet, and this event opens none', NULL, 'web', 'nobody');
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (14, 11, 4, 'timer', NULL, 'expire', 'with_agent', 'closed', 'moved', NULL, '2026-01-15 09:03:00.386000+00:00', NULL, NULL, NULL, 'client_unload', '2026-01-15 09:02:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (15, 12, 1, 'inbound', 'heartbeat', 'heartbeat', NULL, 'with_agent', 'moved', '2026-01-15 09:05:00.386000+00:00', '2026-01-15 09:05:00.386000+00:00', NULL, NULL, 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (16, 8, 4, 'outbound', 'agent_done', 'agent_done', 'with_agent', 'closed', 'moved', '2026-01-15 09:05:00.386000+00:00', '2026-01-15 09:05:00.386000+00:00', NULL, 'outbound-07', NULL, 'agent_done', '2026-01-15 09:01:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (17, NULL, NULL, 'inbound', 'weather', 'unknown', NULL, NULL, 'unknown', '2026-01-15 09:05:00.386000+00:00', '2026-01-15 09:05:00.386000+00:00', NULL, 'inbound-19', NULL, 'type not in the protocol on inbound, and no usable user', NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (18, 8, 5, 'outbound', 'text', 'bot_text', 'closed', 'closed', 'late', '2026-01-15 09:06:00.386000+00:00', '2026-01-15 09:06:00.386000+00:00', NULL, 'outbound-08', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (19, NULL, NULL, 'inbound', NULL, NULL, NULL, NULL, 'invalid', '2026-01-15 09:06:00.386000+00:00', '2026-01-15 09:06:00.386000+00:00', NULL, NULL, NULL, '$.text: wanted this field, got nothing', NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (20, 6, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:26:00.386000+00:00', '2026-01-15 09:26:00.386000+00:00', NULL, 'inbound-14', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (21, 5, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:27:00.386000+00:00', '2026-01-15 09:27:00.386000+00:00', NULL, 'inbound-12', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (22, 6, 2, 'outbound', 'text', 'agent_text', 'bot', 'with_agent', 'moved', '2026-01-15 09:27:00.386000+00:00', '2026-01-15 09:27:00.386000+00:00', NULL, 'outbound-12', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (23, 5, 2, 'outbound', 'handover_to_agent', 'handover_to_agent', 'bot', 'queued', 'moved', '2026-01-15 09:27:30.386000+00:00', '2026-01-15 09:27:30.386000+00:00', NULL, 'outbound-10', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (24, 9, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, 'inbound-08', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (25, 4, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, 'inbound-10', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (26, 5, 3, 'outbound', 'queue_number', 'queue_number', 'queued', 'queued', 'stayed', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, 'outbound-11', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (27, 2, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, 'inbound-16', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (28, 1, 1, 'inbound', 'text', 'customer_text', NULL, 'bot', 'moved', '2026-01-15 09:28:00.386000+00:00', '2026-01-15 09:28:00.386000+00:00', NULL, 'inbound-17', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (29, 4, 2, 'outbound', 'text', 'bot_text', 'bot', 'bot', 'stayed', '2026-01-15 09:28:30.386000+00:00', '2026-01-15 09:28:30.386000+00:00', NULL, 'outbound-09', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (30, 3, 1, 'inbound', 'heartbeat', 'heartbeat', NULL, 'open', 'moved', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', NULL, 'inbound-09', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (31, 6, 3, 'inbound', 'text', 'customer_text', 'with_agent', 'with_agent', 'stayed', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', NULL, 'inbound-15', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (32, 4, 3, 'outbound', 'agent_done', 'agent_done', 'bot', 'bot', 'ignored', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', NULL, 'outbound-14', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (33, 4, 4, 'inbound', 'dance', 'unknown', 'bot', 'bot', 'unknown', '2026-01-15 09:29:00.386000+00:00', '2026-01-15 09:29:00.386000+00:00', NULL, 'inbound-18', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (34, 6, 4, 'internal', 'handover_to_agent', 'handover_to_agent', 'with_agent', 'with_agent', 'ignored', '2026-01-15 09:29:30.386000+00:00', '2026-01-15 09:29:30.386000+00:00', NULL, 'internal-01', 'evli07', NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (35, 10, 2, 'outbound', 'text', 'bot_text', 'bot', 'bot', 'stayed', '2026-01-15 09:40:00.386000+00:00', '2026-01-15 09:40:00.386000+00:00', NULL, 'outbound-02', NULL, NULL, NULL, NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (36, 10, 3, 'timer', NULL, 'expire', 'bot', 'closed', 'moved', NULL, '2026-01-15 09:40:00.386000+00:00', NULL, NULL, NULL, 'idle', '2026-01-15 09:00:00.386000+00:00', NULL, NULL);
INSERT INTO sermo_history (id, session_key, seq, direction, type, trigger_name, from_state, to_state, outcome, received_at, effective_at, sent_at, message_id, agent_id, reason, last_seen_at, platform_id, user_id) VALUES (37, 12, 2, 'timer', NULL, 'expire', 'with_agent', 'closed', 'moved', NULL, '2026-01-15 09:35:00.386000+00:00', NULL, NULL, NULL, 'idle', '2026-01-15 09:05:00.386000+00:00', NULL, NULL);
SELECT setval(pg_get_serial_sequence('sermo_history', 'id'), (SELECT max(id) FROM sermo_history));
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (1, '{"type":"text","userId":"hanna","platformId":"web","text":"Kan jag byta abonnemang?"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (2, '{"type":"text","userId":"gunnar","platformId":"web","text":"Hallå?"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (3, '{"type":"text","userId":"hanna","platformId":"web","text":"Javisst.","agent":{"id":"evli07","name":"Eva Lindström","type":"human"}}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (4, '{"type":"text","userId":"erik","platformId":"web","text":"Hej då 👋🏽 \\o/ ''citat'' 100 %"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (5, '{"type":"text","userId":"frida","platformId":"web","text":"Min faktura","image":{"sha256":"c414cd0e204de974f73753c7e28d7638e7b3691bb8b1a2bab6b25bb7fed7ce77","bytes":70,"mediaType":"image/png"}}', NULL, 'c414cd0e204de974f73753c7e28d7638e7b3691bb8b1a2bab6b25bb7fed7ce77');
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (6, '{"type":"client_unload","userId":"hanna","platformId":"web","at":"2026-01-15T09:02:00.100Z"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (7, '{"type":"client_left","userId":"erik","platformId":"web","text":"Kunden har stängt chatten."}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (8, '{"type":"queue_number","userId":"frida","platformId":"web","queueNumber":3}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (9, '{"type":"text","userId":"erik","platformId":"web","text":"Tack för besöket!","agent":{"id":"bot","name":"Bot"}}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (10, NULL, '{"type": "text", "userId": "olle", "tex', NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (11, '{"type":"agent_done","userId":"nobody","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (12, '{"type":"text","userId":"frida","platformId":"web","text":"Den är betald.","agent":{"id":"evli07","name":"Eva Lindström","type":"human"}}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (13, '{"type":"system_text","userId":"nobody","platformId":"web","text":"Kön är stängd"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (15, '{"type":"heartbeat","userId":"hanna","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (16, '{"type":"agent_done","userId":"frida","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (17, '{"type":"weather","wind":"NW"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (18, '{"type":"text","userId":"frida","platformId":"web","text":"Hur nöjd är du?","agent":{"id":"bot","name":"Bot"}}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (19, NULL, '{"type": "text", "userId": "olle", "platformId": "web"}', NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (20, '{"type":"text","userId":"dan","platformId":"web","text":"Det fungerar inte"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (21, '{"type":"text","userId":"cilla","platformId":"web","text":"Jag vill prata med en människa"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (22, '{"type":"text","userId":"dan","platformId":"web","text":"Vad händer?","agent":{"id":"evli07","name":"Eva Lindström","type":"human"}}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (23, '{"type":"handover_to_agent","userId":"cilla","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (24, '{"type":"text","userId":"frida","platformId":"web","text":"En sak till …"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (25, '{"type":"text","userId":"bosse","platformId":"web","text":"Hej","image":{"sha256":"c414cd0e204de974f73753c7e28d7638e7b3691bb8b1a2bab6b25bb7fed7ce77","bytes":70,"mediaType":"image/png"},"flowGroupId":"fg-1"}', NULL, 'c414cd0e204de974f73753c7e28d7638e7b3691bb8b1a2bab6b25bb7fed7ce77');
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (26, '{"type":"queue_number","userId":"cilla","platformId":"web","queueNumber":12}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (27, '{"type":"text","userId":"Anna","platformId":"web","text":"Stort A"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (28, '{"type":"text","userId":"änna","platformId":"messenger","text":"Prickar"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (29, '{"type":"text","userId":"bosse","platformId":"web","text":"Hej! Vad kan jag hjälpa till med?","agent":{"id":"bot","name":"Bot"},"typing":1200}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (30, '{"type":"heartbeat","userId":"anna","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (31, '{"type":"text","userId":"dan","platformId":"web","text":"Ingenting"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (32, '{"type":"agent_done","userId":"bosse","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (33, '{"type":"dance","userId":"bosse","platformId":"web","steps":[1,2.5,null,"cha-cha"]}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (34, '{"type":"handover_to_agent","userId":"dan","platformId":"web"}', NULL, NULL);
INSERT INTO sermo_body (history_id, event, raw, image_sha256) VALUES (35, '{"type":"text","userId":"gunnar","platformId":"web","text":"Är du kvar?","agent":{"id":"bot","name":"Bot"}}', NULL, NULL);
INSERT INTO sermo_alembic_version (version_num) VALUES ('0003');
