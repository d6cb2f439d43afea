//! Words that WhatsApp writes in the language of the phone.
//!
//! Facts gathered from exports and from what others report; where a rule without words is possible
//! (a name that is in the zip, the same line again and again) it comes first, and these lists second.

use heirloom_archive::MessageKind;

use super::header::{is_mark, is_space};

/// Japanese and Taiwanese eras, with the year before their first.
pub(super) const ERAS: &[(&str, i32)] =
    &[("令和", 2018), ("平成", 1988), ("昭和", 1925), ("民國", 1911), ("民国", 1911), ("R", 2018), ("H", 1988), ("S", 1925)];

/// What the words beside a date or time mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Nothing,
    Am,
    Pm,
    Buddhist,
    Unknown(&'a str),
}

const AM: &[&str] = &[
    "am", "a", "vm", "fm", "ap", "de", "fh", "rn", "yb", "sa", "to", "öö", "pg", "dp", "дп", "dop", "vorm", "ص", "صباحا", "قظ",
    "قبلازظهر", "غم", "πμ", "пробед", "проб", "преподне", "преподпладне", "претпл", "прет", "prijepodne", "prepodne",
    "prepodneva", "dopoledne", "dopoludnia", "priešpiet", "priekšp", "epariadites", "eparadites", "pd", "asubuhi", "goizeko",
    "पूर्वाह्न", "पूर्वाह्", "मपू", "সকাল", "পূর্বাহ্ণ", "পূৰ্বাহ্ন", "ਪੂਦੁ", "પૂર્વાહ્ન", "મપૂ", "ପୂର୍ବାହ୍ନ", "ପୂ", "முற்பகல்", "மு", "முப",
    "పూర్వాహ్నం", "ఉ", "ಪೂರ್ವಾಹ್ನ", "രാവിലെ", "පෙව", "ก่อนเที่ยง", "ກ່ອນທ່ຽງ", "ព្រឹក", "နံနက်", "ጥዋት", "կա", "тң", "таңкы", "үө",
    "上午", "凌晨", "清晨", "早上", "清早", "午前", "오전", "לפנהצ", "לפנה״צ", "قبلدوپہر", "damanhã", "delamañana", "delamadrugada",
];

const PM: &[&str] = &[
    "pm", "p", "nm", "em", "ip", "du", "eh", "in", "yh", "ch", "tk", "ös", "ptg", "md", "pop", "odp", "nachm", "م", "مساء", "بظ",
    "بعدازظهر", "غو", "μμ", "пп", "слобед", "слоб", "поподне", "попладне", "попл", "popodne", "popoldne", "odpoledne", "popoludní",
    "popiet", "pēcp", "epasdites", "mchana", "arratsaldeko", "अपराह्न", "मउ", "বিকাল", "অপরাহ্ণ", "অপৰাহ্ন", "ਬਾਦੁ", "અપરાહ્ન", "મઉ",
    "ଅପରାହ୍ନ", "ଅ", "பிற்பகல்", "பி", "பிப", "అపరాహ్నం", "సా", "ಅಪರಾಹ್ನ", "വൈകുന്നേരം", "පව", "หลังเที่ยง", "ຫຼັງທ່ຽງ", "ល្ងាច", "ညနေ",
    "ከሰዓት", "կհ", "түштөнкийинки", "үх", "下午", "晚上", "中午", "午後", "오후", "אחהצ", "אחה״צ", "بعددوپہر", "datarde", "danoite",
    "delatarde", "delanoche",
];

/// Words that only lead to the time or name the calendar that is meant anyway.
const NOTHING: &[&str] = &[
    "klo", "kl", "kello", "uhr", "um", "г", "ч", "гч", "р", "о", "в", "u", "à", "às", "a", "las", "alas", "ale", "ore", "alle", "at", "om",
    "lúc", "น", "เวลา", "ce", "ad", "คศ", "eng", "godz", "h", "m", "с", "saat", "ora", "den", "dne", "д", "ob",
];

/// Reads the words beside a date or time.
pub(super) fn meaning(text: &str) -> Meaning<'_> {
    let whole = bare(text);
    if whole.is_empty() {
        return Meaning::Nothing;
    }
    if let Some(meaning) = known(&whole) {
        return meaning;
    }
    let mut found = Meaning::Nothing;
    for word in text.split(|c| is_space(c) || matches!(c, ',' | '،' | '、')) {
        match known(&bare(word)) {
            Some(Meaning::Nothing) => {}
            Some(meaning) => found = meaning,
            None if bare(word).is_empty() => {}
            None => return Meaning::Unknown(text.trim_matches(|c| is_space(c) || is_mark(c) || c == ',')),
        }
    }
    found
}

/// Without marks, spaces and points, in small letters.
fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| !is_mark(*c) && !is_space(*c) && !matches!(c, '.' | ',' | '،' | '、' | '/' | '\'' | '’' | '"' | '״' | '\u{200C}'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn known(word: &str) -> Option<Meaning<'static>> {
    if matches!(word, "be" | "พศ" | "พุทธศักราช") {
        Some(Meaning::Buddhist)
    // "a las" leads to the time, "a." is a half of the day: alone it is no half.
    } else if word != "a" && AM.contains(&word) {
        Some(Meaning::Am)
    } else if PM.contains(&word) {
        Some(Meaning::Pm)
    } else if NOTHING.contains(&word) {
        Some(Meaning::Nothing)
    } else {
        None
    }
}

const MEDIA_OMITTED: &[&str] = &[
    "Media omitted", "Média vynechány", "Média vynechána", "Без медиафайлов", "Medien ausgeschlossen", "Medien weggelassen",
    "Media weggelaten", "Multimedia omitido", "Archivo omitido", "Medios omitidos", "Médias omis", "Média omis", "Fichier omis",
    "Media omessi", "Media omesso", "Mídia oculta", "Mídia omitida", "Ficheiro não revelado", "Arquivo de mídia oculto",
    "Pominięto multimedia", "pominięto multimedia", "plik pominięty", "Medya dahil edilmedi", "Media tidak disertakan", "Media dilangkau",
    "تم استبعاد الوسائط", "המדיה לא נכללה", "המדיה הושמטה", "मीडिया छोड़ा गया", "मीडिया के बिना", "メディアなし", "メディアは含まれていません",
    "省略多媒体文件", "已忽略多媒體檔", "忽略多媒體檔", "忽略多媒体文件", "媒體已略去", "미디어 파일 제외", "미디어 생략됨", "Mediefil er udeladt", "Medier udeladt",
    "Media utelämnat", "Media utelämnades", "Medier utelämnade", "Mediefiler utelatt", "Medier er utelatt", "Media jätettiin pois",
    "Media poistettu", "Τα πολυμέσα παραλείφθηκαν", "Hiányzó médiafájl", "Média kihagyva", "Fișiere media omise", "Conținut media omis",
    "Медіафайли пропущено", "Без медіафайлів", "Đã bỏ qua tệp media", "File phương tiện đã bị bỏ qua", "ไม่รวมไฟล์มีเดีย", "ไม่แสดงสื่อ",
    "Mitjans omesos", "Media izostavljena", "Medij izostavljen", "Mediji izostavljeni", "Médiá vynechané", "Пропуснати файлове", "رسانه حذف شد",
];

/// Whether `<…>` as a whole message stands for a medium that was left out.
pub(super) fn is_media_omitted(inside: &str) -> bool {
    MEDIA_OMITTED.contains(&inside)
}

/// Parts of the words for "omitted" in the iOS placeholders.
const OMITTED: &[&str] = &[
    "omitted", "weggelassen", "omitid", "absent", "omis", "retiré", "manquant", "omess", "esclus", "non inclus", "ocultad", "ocult",
    "weggelaten", "отсутств", "опущен", "пропущ", "vynech", "pomini", "dahil edilmedi", "utelämn", "utelat", "udelad", "jätett", "kihagy",
    "παραλείφθη", "παραλείπ", "לא נכלל", "הושמט", "استبعاد", "غير مدرج", "छोड़", "省略", "略去", "忽略", "생략", "tidak disertakan", "bỏ qua", "ละเว้น",
    "вилуч", "izostav", "omes", "なし",
];

const NOUNS: &[(&str, MessageKind)] = &[
    ("video note", MessageKind::Video),
    ("gif", MessageKind::Gif),
    ("sticker", MessageKind::Sticker),
    ("стикер", MessageKind::Sticker),
    ("figurinha", MessageKind::Sticker),
    ("nálepka", MessageKind::Sticker),
    ("samolepka", MessageKind::Sticker),
    ("çıkartma", MessageKind::Sticker),
    ("naklejk", MessageKind::Sticker),
    ("ملصق", MessageKind::Sticker),
    ("סטיקר", MessageKind::Sticker),
    ("贴图", MessageKind::Sticker),
    ("貼圖", MessageKind::Sticker),
    ("スタンプ", MessageKind::Sticker),
    ("스티커", MessageKind::Sticker),
    ("contact", MessageKind::Contact),
    ("kontakt", MessageKind::Contact),
    ("contatto", MessageKind::Contact),
    ("contato", MessageKind::Contact),
    ("контакт", MessageKind::Contact),
    ("vizitk", MessageKind::Contact),
    ("kişi kartı", MessageKind::Contact),
    ("جهة اتصال", MessageKind::Contact),
    ("איש קשר", MessageKind::Contact),
    ("联系人", MessageKind::Contact),
    ("聯絡人", MessageKind::Contact),
    ("連絡先", MessageKind::Contact),
    ("연락처", MessageKind::Contact),
    ("document", MessageKind::Document),
    ("dokument", MessageKind::Document),
    ("documento", MessageKind::Document),
    ("документ", MessageKind::Document),
    ("belge", MessageKind::Document),
    ("dokumen", MessageKind::Document),
    ("مستند", MessageKind::Document),
    ("מסמך", MessageKind::Document),
    ("文档", MessageKind::Document),
    ("文件", MessageKind::Document),
    ("ドキュメント", MessageKind::Document),
    ("문서", MessageKind::Document),
    ("video", MessageKind::Video),
    ("vídeo", MessageKind::Video),
    ("vidéo", MessageKind::Video),
    ("видео", MessageKind::Video),
    ("відео", MessageKind::Video),
    ("wideo", MessageKind::Video),
    ("βίντεο", MessageKind::Video),
    ("فيديو", MessageKind::Video),
    ("סרטון", MessageKind::Video),
    ("וידאו", MessageKind::Video),
    ("वीडियो", MessageKind::Video),
    ("视频", MessageKind::Video),
    ("影片", MessageKind::Video),
    ("動画", MessageKind::Video),
    ("비디오", MessageKind::Video),
    ("동영상", MessageKind::Video),
    ("audio", MessageKind::Audio),
    ("áudio", MessageKind::Audio),
    ("аудио", MessageKind::Audio),
    ("ses dahil", MessageKind::Audio),
    ("ljud", MessageKind::Audio),
    ("lyd", MessageKind::Audio),
    ("ääni", MessageKind::Audio),
    ("dźwięk", MessageKind::Audio),
    ("ήχος", MessageKind::Audio),
    ("صوت", MessageKind::Audio),
    ("שמע", MessageKind::Audio),
    ("ऑडियो", MessageKind::Audio),
    ("音频", MessageKind::Audio),
    ("音訊", MessageKind::Audio),
    ("音声", MessageKind::Audio),
    ("오디오", MessageKind::Audio),
    ("image", MessageKind::Picture),
    ("imagen", MessageKind::Picture),
    ("bild", MessageKind::Picture),
    ("immagine", MessageKind::Picture),
    ("imagem", MessageKind::Picture),
    ("afbeelding", MessageKind::Picture),
    ("изображение", MessageKind::Picture),
    ("obrázek", MessageKind::Picture),
    ("obraz", MessageKind::Picture),
    ("görüntü", MessageKind::Picture),
    ("gambar", MessageKind::Picture),
    ("billede", MessageKind::Picture),
    ("bilde", MessageKind::Picture),
    ("kuva", MessageKind::Picture),
    ("kép", MessageKind::Picture),
    ("εικόνα", MessageKind::Picture),
    ("зображення", MessageKind::Picture),
    ("صورة", MessageKind::Picture),
    ("תמונה", MessageKind::Picture),
    ("इमेज", MessageKind::Picture),
    ("图像", MessageKind::Picture),
    ("图片", MessageKind::Picture),
    ("圖片", MessageKind::Picture),
    ("画像", MessageKind::Picture),
    ("이미지", MessageKind::Picture),
    ("사진", MessageKind::Picture),
    ("hình ảnh", MessageKind::Picture),
    ("รูปภาพ", MessageKind::Picture),
];

/// The kind of medium that an iOS placeholder stands for ("image omitted"); `None` when it is none.
pub(super) fn omitted_kind(text: &str) -> Option<MessageKind> {
    if text.chars().count() > 40 || text.ends_with('.') {
        return None;
    }
    let text = text.to_lowercase();
    if !OMITTED.iter().any(|stem| text.contains(stem)) {
        return None;
    }
    NOUNS.iter().find(|(noun, _)| text.contains(noun)).map(|(_, kind)| *kind)
}

const ATTACHED: &[&str] = &[
    "file attached", "attached", "datei angehängt", "angehängt", "anhang", "archivo adjunto", "adjunto", "fichier joint", "pièce jointe", "file allegato",
    "allegato", "arquivo anexado", "ficheiro anexado", "anexado", "anexo", "bestand bijgevoegd", "bijgevoegd", "bijlage", "файл добавлен",
    "файл прикреплён", "прикреплено", "вложение", "soubor byl přiložen", "přiloženo", "príloha", "plik dołączony", "załączono plik",
    "załączono", "dosya ekli", "eklendi", "file terlampir", "terlampir", "fil bifogad", "bifogad", "fil vedhæftet", "vedhæftet", "fil vedlagt", "vedlagt", "tiedosto liitteenä",
    "liite", "fájl csatolva", "csatolva", "fișier atașat", "atașat", "συνημμένο αρχείο", "συνημμένο", "файл додано", "додано", "הקובץ מצורף", "מצורף", "الملف مرفق",
    "ملف مرفق", "مرفق", "फ़ाइल संलग्न की गई है", "फ़ाइल संलग्न", "संलग्न", "ファイルが添付されています", "添付ファイル", "添付", "文件附件", "附件", "檔案已附加", "附加檔案", "已附加",
    "파일 첨부됨", "첨부 파일", "첨부됨", "đính kèm", "tệp đính kèm", "ไฟล์ที่แนบ", "แนบ", "fitxer adjunt", "adjunt",
];

/// Whether the words beside a file's name say that it is attached.
pub(super) fn is_attached(text: &str) -> bool {
    let text: String = text.trim_matches(|c| is_mark(c) || is_space(c)).to_lowercase();
    ATTACHED.contains(&text.as_str())
}

const DELETED: &[&str] = &[
    "This message was deleted", "You deleted this message", "Diese Nachricht wurde gelöscht", "Du hast diese Nachricht gelöscht",
    "Se eliminó este mensaje", "Eliminaste este mensaje", "Este mensaje fue eliminado", "Has eliminado este mensaje",
    "Ce message a été supprimé", "Vous avez supprimé ce message", "Questo messaggio è stato eliminato", "Hai eliminato questo messaggio",
    "Mensagem apagada", "Esta mensagem foi apagada", "Essa mensagem foi apagada", "Você apagou esta mensagem", "Apagou esta mensagem",
    "Dit bericht is verwijderd", "Dit bericht werd verwijderd", "U hebt dit bericht verwijderd", "Je hebt dit bericht verwijderd",
    "Данное сообщение удалено", "Это сообщение удалено", "Сообщение удалено", "Вы удалили данное сообщение", "Вы удалили это сообщение",
    "Tato zpráva byla odstraněna", "Tato zpráva byla smazána", "Tuto zprávu jste odstranili", "Smazali jste tuto zprávu", "Táto správa bola odstránená",
    "Ta wiadomość została usunięta", "Usunięto tę wiadomość", "Bu mesaj silindi", "Bu mesajı sildiniz", "Pesan ini telah dihapus",
    "Anda telah menghapus pesan ini", "Det här meddelandet togs bort", "Det här meddelandet raderades", "Du raderade detta meddelande",
    "Du raderade det här meddelandet", "Denne besked blev slettet", "Du slettede denne besked", "Denne meldingen ble slettet",
    "Du slettet denne meldingen", "Tämä viesti poistettiin", "Poistit tämän viestin", "Ezt az üzenetet törölték", "Törölted ezt az üzenetet",
    "Acest mesaj a fost șters", "Ați șters acest mesaj", "Αυτό το μήνυμα διαγράφηκε", "Διαγράψατε αυτό το μήνυμα", "הודעה זו נמחקה",
    "מחקת הודעה זו", "تم حذف هذه الرسالة", "لقد حذفت هذه الرسالة", "این پیام حذف شد", "यह मैसेज मिटाया गया", "यह संदेश हटा दिया गया था",
    "आपने यह मैसेज मिटाया", "このメッセージは削除されました", "メッセージを削除しました", "삭제된 메시지입니다", "이 메시지는 삭제되었습니다", "메시지를 삭제했습니다",
    "此消息已删除", "您删除了这条消息", "你删除了此消息", "此訊息已刪除", "這則訊息已刪除", "你已刪除此訊息", "您已刪除這則訊息", "Це повідомлення видалено",
    "Ви видалили це повідомлення", "Tin nhắn này đã bị xóa", "Bạn đã xóa tin nhắn này", "ข้อความนี้ถูกลบแล้ว", "ข้อความนี้ถูกลบ", "คุณลบข้อความนี้แล้ว",
    "S'ha suprimit aquest missatge", "Has suprimit aquest missatge", "Ova je poruka izbrisana",
];

/// Beginnings of "deleted by admin NAME".
const DELETED_BY: &[&str] = &["This message was deleted by admin ", "Diese Nachricht wurde vom Admin ", "This message was deleted by "];

/// Whether a message is the notice of a deleted one.
pub(super) fn is_deleted(text: &str) -> bool {
    let text = text.trim_end_matches(['.', '。', '।']);
    DELETED.contains(&text) || (DELETED_BY.iter().any(|start| text.starts_with(start)) && !text.contains('\n'))
}

const EDITED: &[&str] = &[
    "This message was edited", "Diese Nachricht wurde bearbeitet", "Se editó este mensaje", "Este mensaje fue editado", "Ce message a été modifié",
    "Questo messaggio è stato modificato", "Mensagem editada", "Esta mensagem foi editada", "Essa mensagem foi editada", "Dit bericht is bewerkt",
    "Dit bericht werd bewerkt", "Сообщение изменено", "Данное сообщение изменено", "Это сообщение изменено", "Tato zpráva byla upravena",
    "Táto správa bola upravená", "Ta wiadomość została edytowana", "Ta wiadomość została zmieniona", "Bu mesaj düzenlendi", "Pesan ini diedit", "Pesan ini telah diedit",
    "Det här meddelandet redigerades", "Det här meddelandet har redigerats", "Denne besked blev redigeret", "Denne meldingen ble redigert",
    "Tätä viestiä muokattiin", "Tätä viestiä on muokattu", "Ezt az üzenetet szerkesztették", "Acest mesaj a fost editat",
    "Αυτό το μήνυμα έχει υποστεί επεξεργασία", "הודעה זו נערכה", "ההודעה נערכה", "تم تعديل هذه الرسالة", "این پیام ویرایش شد", "यह मैसेज एडिट किया गया",
    "このメッセージは編集されました", "このメッセージは編集済みです", "이 메시지는 수정되었습니다", "此消息已编辑", "此訊息已編輯", "這則訊息已編輯", "Це повідомлення змінено",
    "Це повідомлення відредаговано", "Tin nhắn này đã được chỉnh sửa", "Tin nhắn này đã chỉnh sửa", "ข้อความนี้ถูกแก้ไขแล้ว", "S'ha editat aquest missatge",
];

/// Whether the words in `<…>` at a message's end say that it was edited.
pub(super) fn is_edited(inside: &str) -> bool {
    EDITED.contains(&inside.trim_end_matches(['.', '。', '।']))
}

/// Beginnings of calls on iOS: their words and what they were.
pub(super) const CALLS: &[(&str, bool, bool)] = &[
    // (words, video, missed)
    ("Missed voice call", false, true),
    ("Missed video call", true, true),
    ("Missed group voice call", false, true),
    ("Missed group video call", true, true),
    ("Voice call", false, false),
    ("Video call", true, false),
    ("Verpasster Sprachanruf", false, true),
    ("Verpasster Videoanruf", true, true),
    ("Sprachanruf", false, false),
    ("Videoanruf", true, false),
    ("Llamada perdida", false, true),
    ("Videollamada perdida", true, true),
    ("Appel vocal manqué", false, true),
    ("Appel vidéo manqué", true, true),
    ("Chamada de voz perdida", false, true),
    ("Chamada de vídeo perdida", true, true),
    ("Пропущенный аудиозвонок", false, true),
    ("Пропущенный видеозвонок", true, true),
    ("Zmeškaný hlasový hovor", false, true),
    ("Zmeškaný videohovor", true, true),
];

/// Words of a live location, which an export does not hold.
pub(super) const LIVE_LOCATION: &[&str] = &["live location shared", "Live location shared", "Live-Standort wird geteilt", "ubicación en tiempo real compartida"];

/// What stands before and after a chat's title in a file's name.
const TITLES: &[(&str, &str)] = &[
    ("WhatsApp Chat with ", ""),
    ("WhatsApp chat with ", ""),
    ("WhatsApp Chat - ", ""),
    ("WhatsApp-Chat mit ", ""),
    ("WhatsApp Chat mit ", ""),
    ("Chat de WhatsApp con ", ""),
    ("Conversación de WhatsApp con ", ""),
    ("Discussion WhatsApp avec ", ""),
    ("Conversa do WhatsApp com ", ""),
    ("Chat WhatsApp con ", ""),
    ("Chat WhatsApp s uživatelem ", ""),
    ("Chat WhatsApp s kontaktem ", ""),
    ("WhatsApp-chat met ", ""),
    ("WhatsApp-gesprek met ", ""),
    ("Чат WhatsApp с контактом ", ""),
    ("Чат WhatsApp с ", ""),
    ("Чат WhatsApp із ", ""),
    ("Czat WhatsApp z ", ""),
    ("Konwersacja WhatsApp z ", ""),
    ("Chat WhatsApp dengan ", ""),
    ("WhatsApp-chatt med ", ""),
    ("WhatsApp-chat med ", ""),
    ("WhatsApp-keskustelu ", ""),
    ("Conversație WhatsApp cu ", ""),
    ("محادثة واتساب مع ", ""),
    ("دردشة واتساب مع ", ""),
    ("محادثة WhatsApp مع ", ""),
    ("צ'אט WhatsApp עם ", ""),
    ("‏צ'אט WhatsApp עם ", ""),
    ("与", "的 WhatsApp 聊天"),
    ("與", "的 WhatsApp 對話"),
    ("", " ile WhatsApp Sohbeti"),
    ("", "とのWhatsAppトーク"),
    ("", "님과의 WhatsApp 대화"),
    ("", " के साथ WhatsApp चैट"),
];

/// The chat's title in the name of a text file or zip, without its ending.
pub(super) fn title_in(stem: &str) -> Option<&str> {
    TITLES.iter().find_map(|(before, after)| {
        stem.strip_prefix(before)?.strip_suffix(after).map(str::trim).filter(|title| !title.is_empty())
    })
}

/// Whether a name is one that WhatsApp gives to an export's text.
pub(super) fn is_export_name(name: &str) -> bool {
    name == "_chat.txt" || name.contains("WhatsApp") || name.contains("واتساب")
}
