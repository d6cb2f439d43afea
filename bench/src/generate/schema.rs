//! WhatsApp's tables on Android, as of 2025 (`../shared/sources.md` 3.2): facts, no data.

/// `msgstore.db`, without its indexes.
pub(crate) const MESSAGES: &str = "
PRAGMA page_size = 4096;
PRAGMA user_version = 1;
CREATE TABLE jid(_id INTEGER PRIMARY KEY AUTOINCREMENT,user TEXT NOT NULL,server TEXT NOT NULL,agent INTEGER,device INTEGER,type INTEGER,raw_string TEXT);
CREATE TABLE jid_map(lid_row_id INTEGER PRIMARY KEY NOT NULL,jid_row_id INTEGER NOT NULL,sort_id INTEGER);
CREATE TABLE lid_display_name(lid_row_id INTEGER PRIMARY KEY NOT NULL,display_name TEXT NOT NULL,username TEXT);
CREATE TABLE chat(_id INTEGER PRIMARY KEY AUTOINCREMENT,jid_row_id INTEGER UNIQUE,hidden INTEGER,subject TEXT,created_timestamp INTEGER,display_message_row_id INTEGER,last_message_row_id INTEGER,archived INTEGER,sort_timestamp INTEGER,ephemeral_expiration INTEGER,group_type INTEGER NOT NULL DEFAULT 0,chat_lock INTEGER,group_member_count INTEGER);
CREATE TABLE group_participant_user(_id INTEGER PRIMARY KEY AUTOINCREMENT,group_jid_row_id INTEGER NOT NULL,user_jid_row_id INTEGER NOT NULL,rank INTEGER,pending INTEGER,add_timestamp INTEGER,label TEXT,join_method INTEGER,group_history_send_state INTEGER);
CREATE TABLE message(_id INTEGER PRIMARY KEY AUTOINCREMENT,chat_row_id INTEGER NOT NULL,from_me INTEGER NOT NULL,key_id TEXT NOT NULL,sender_jid_row_id INTEGER,status INTEGER,broadcast INTEGER,recipient_count INTEGER,participant_hash TEXT,origination_flags INTEGER,origin INTEGER,timestamp INTEGER,received_timestamp INTEGER,receipt_server_timestamp INTEGER,message_type INTEGER,text_data TEXT,starred INTEGER,lookup_tables INTEGER,message_add_on_flags INTEGER,view_mode INTEGER,sort_id INTEGER NOT NULL DEFAULT 0,translated_text TEXT,view_replies_thread_id INTEGER,server_sts INTEGER);
CREATE TABLE message_media(message_row_id INTEGER PRIMARY KEY,chat_row_id INTEGER,transferred INTEGER,message_url TEXT,raw_transcription_text TEXT,is_animated_sticker INTEGER,media_caption TEXT,file_path TEXT,file_size INTEGER,media_key BLOB,media_key_timestamp INTEGER,width INTEGER,height INTEGER,direct_path TEXT,mime_type TEXT,file_length INTEGER,media_name TEXT,file_hash TEXT,media_duration INTEGER,enc_file_hash TEXT,page_count INTEGER,original_file_hash TEXT);
CREATE TABLE message_thumbnail(message_row_id INTEGER PRIMARY KEY,thumbnail BLOB);
CREATE TABLE message_quoted(message_row_id INTEGER PRIMARY KEY AUTOINCREMENT,chat_row_id INTEGER NOT NULL,parent_message_chat_row_id INTEGER NOT NULL,from_me INTEGER NOT NULL,sender_jid_row_id INTEGER,key_id TEXT NOT NULL,timestamp INTEGER,message_type INTEGER,origin INTEGER,text_data TEXT,payment_transaction_id TEXT,lookup_tables INTEGER,quoted_source INTEGER,quoted_type INTEGER);
CREATE TABLE message_add_on(_id INTEGER PRIMARY KEY AUTOINCREMENT,chat_row_id INTEGER,from_me INTEGER,key_id TEXT,sender_jid_row_id INTEGER,parent_message_row_id INTEGER,received_timestamp INTEGER,timestamp INTEGER,status INTEGER,message_add_on_type INTEGER);
CREATE TABLE message_add_on_reaction(message_add_on_row_id INTEGER PRIMARY KEY,reaction TEXT,sender_timestamp INTEGER);
CREATE TABLE message_edit_info(message_row_id INTEGER PRIMARY KEY,original_key_id TEXT NOT NULL,edited_timestamp INTEGER NOT NULL,sender_timestamp INTEGER NOT NULL);
CREATE TABLE message_revoked(message_row_id INTEGER PRIMARY KEY,revoked_key_id TEXT NOT NULL,admin_jid_row_id INTEGER,revoke_timestamp INTEGER);
CREATE TABLE message_location(message_row_id INTEGER PRIMARY KEY,chat_row_id INTEGER,latitude REAL,longitude REAL,place_name TEXT,place_address TEXT,url TEXT,live_location_share_duration INTEGER,live_location_sequence_number INTEGER,live_location_final_latitude REAL,live_location_final_longitude REAL,live_location_final_timestamp INTEGER,map_download_status INTEGER);
CREATE TABLE message_poll(message_row_id INTEGER PRIMARY KEY,enc_key BLOB,selectable_options_count INTEGER,invalid_state INTEGER NOT NULL DEFAULT 0,poll_logging_id INTEGER NOT NULL DEFAULT 0,poll_type INTEGER,correct_option_id INTEGER,content_type INTEGER,hide_participant_names INTEGER,end_time INTEGER,allow_add_option INTEGER);
CREATE TABLE message_poll_option(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,option_sha256 TEXT,option_name TEXT,vote_total INTEGER,option_hash TEXT);
CREATE TABLE message_system(message_row_id INTEGER PRIMARY KEY,action_type INTEGER NOT NULL);
CREATE TABLE message_vcard(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,vcard TEXT);
CREATE TABLE message_details(message_row_id INTEGER PRIMARY KEY,author_device_jid INTEGER,platform INTEGER);
CREATE TABLE message_mentions(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER,jid_row_id INTEGER,display_name STRING,mention_type INTEGER);
CREATE TABLE receipt_user(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER NOT NULL,receipt_user_jid_row_id INTEGER NOT NULL,receipt_timestamp INTEGER,read_timestamp INTEGER,played_timestamp INTEGER);
CREATE TABLE receipt_device(_id INTEGER PRIMARY KEY AUTOINCREMENT,message_row_id INTEGER NOT NULL,receipt_device_jid_row_id INTEGER NOT NULL,receipt_device_timestamp INTEGER,primary_device_version INTEGER);
CREATE TABLE call_log(_id INTEGER PRIMARY KEY AUTOINCREMENT,jid_row_id INTEGER,from_me INTEGER,call_id TEXT,transaction_id INTEGER,timestamp INTEGER,video_call INTEGER,duration INTEGER,call_result INTEGER,bytes_transferred INTEGER,group_jid_row_id INTEGER NOT NULL DEFAULT 0);
CREATE TABLE props(_id INTEGER PRIMARY KEY AUTOINCREMENT,key TEXT UNIQUE,value TEXT);
INSERT INTO message(_id,chat_row_id,from_me,key_id,sort_id) VALUES(1,-1,0,'-1',0);
";

/// Its indexes.
pub(crate) const INDEXES: &str = "
CREATE INDEX message_chat_sort ON message(chat_row_id,sort_id);
CREATE UNIQUE INDEX message_key ON message(chat_row_id,from_me,key_id,sender_jid_row_id);
CREATE INDEX message_sort ON message(sort_id);
CREATE INDEX message_time ON message(timestamp);
CREATE INDEX message_sender ON message(sender_jid_row_id,timestamp);
CREATE INDEX message_starred ON message(starred) WHERE starred=1;
CREATE INDEX message_type_of_chat ON message(chat_row_id,message_type,sort_id);
CREATE INDEX message_media_hash ON message_media(file_hash);
CREATE INDEX message_quoted_key ON message_quoted(key_id);
CREATE INDEX message_add_on_parent ON message_add_on(parent_message_row_id);
CREATE UNIQUE INDEX receipt_device_message ON receipt_device(message_row_id,receipt_device_jid_row_id);
CREATE UNIQUE INDEX receipt_user_message ON receipt_user(message_row_id,receipt_user_jid_row_id);
";

/// `wa.db`.
pub(crate) const CONTACTS: &str = "
CREATE TABLE wa_contacts(_id INTEGER PRIMARY KEY AUTOINCREMENT,jid TEXT NOT NULL,is_whatsapp_user BOOLEAN NOT NULL,status TEXT,number TEXT,display_name TEXT,wa_name TEXT);
";
