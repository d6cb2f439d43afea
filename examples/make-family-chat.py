#!/usr/bin/env python3
"""Makes family-chat.zip: a WhatsApp export (Android form, with media) of a family that does not exist.

Needs Python 3 and ffmpeg with libx264, libopus and libwebp. Every byte is made here: the pictures are
drawn, the voice notes are hummed, the video is the second picture with its candles burning down.
The same versions of Python and ffmpeg give the same bytes.
"""

import math
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

W, H = 480, 360
GROUP = "Family ❤️"
LRM = "\u200e"


# ---------------------------------------------------------------- pictures

def ppm(pixel, w=W, h=H):
    rows = bytearray()
    for y in range(h):
        for x in range(w):
            rows += bytes(max(0, min(255, int(c))) for c in pixel(x / w, y / h))
    return b"P6 %d %d 255\n" % (w, h) + bytes(rows)


def mix(a, b, t):
    t = max(0.0, min(1.0, t))
    return tuple(p + (q - p) * t for p, q in zip(a, b))


def lake(x, y):
    """Evening at the lake: sun, hills, its light on the water."""
    sky = mix((52, 74, 140), (250, 176, 96), y / 0.55)
    if (x - 0.62) ** 2 * 1.8 + (y - 0.44) ** 2 < 0.0045:
        sky = (255, 236, 170)
    hill = 0.50 - 0.06 * math.sin(5 * x + 1) - 0.03 * math.sin(13 * x)
    if y > 0.56:
        glint = math.sin(y * 160 + math.sin(x * 30) * 2) > 0.55 and abs(x - 0.62) < 0.05 + (y - 0.56) * 0.4
        return (255, 224, 160) if glint else mix((150, 110, 110), (18, 38, 70), (y - 0.56) / 0.44)
    return mix((40, 62, 60), (22, 36, 40), (y - hill) / 0.1) if y > hill else sky


def cake(x, y, flames=5, phase=0.0):
    """Grandma's birthday cake, with up to five burning candles."""
    for i in range(5):
        cx = 0.30 + 0.10 * i
        if i < flames:
            fx, fy = cx + 0.004 * math.sin(phase + i), 0.30
            if ((x - fx) / 0.012) ** 2 + ((y - fy) / 0.035) ** 2 < 1:
                return mix((255, 250, 190), (255, 140, 30), (fy + 0.03 - y) / 0.06)
        if abs(x - cx) < 0.009 and 0.34 < y < 0.46:
            return (240, 90, 120) if int((y + x) * 60) % 2 else (250, 240, 240)
    if 0.46 < y < 0.80 and abs(x - 0.5) < 0.30:
        drip = 0.53 + 0.03 * math.sin(x * 55)
        return (250, 238, 225) if y < drip else mix((150, 86, 52), (104, 56, 36), (y - drip) / 0.3)
    if 0.78 < y < 0.86 and ((x - 0.5) / 0.42) ** 2 + ((y - 0.81) / 0.05) ** 2 < 1:
        return (226, 226, 236)
    glow = math.exp(-((x - 0.5) ** 2 + (y - 0.32) ** 2) * 6) * (0.4 + 0.12 * flames)
    return mix((58, 44, 62), (226, 150, 90), glow) if y < 0.8 else mix((92, 60, 44), (60, 38, 30), (y - 0.8) * 5)


def shelf(x, y):
    """The shelf that Jonas built, and it is not straight."""
    tilt = y - 0.05 * (x - 0.5)
    for top in (0.30, 0.60):
        if top < tilt < top + 0.035 and 0.15 < x < 0.85:
            return mix((186, 132, 80), (150, 100, 58), math.sin(x * 90) * 0.5 + 0.5)
    for i in range(9):
        left = 0.20 + i * 0.066
        for top in (0.30, 0.60):
            tall = 0.13 + 0.05 * math.sin(i * 2.4 + top * 9)
            if left < x < left + 0.05 and top - tall < tilt <= top:
                return [(170, 60, 60), (60, 100, 150), (70, 130, 90), (210, 170, 80), (120, 80, 140)][(i + int(top * 10)) % 5]
    return mix((232, 226, 214), (204, 196, 182), y)


def sticker(x, y):
    """A cat that approves; black is made transparent."""
    ear = any(abs(x - cx) * 1.2 + abs(y - 0.22) < 0.16 and y < 0.34 for cx in (0.30, 0.70))
    if any((x - cx) ** 2 + (y - 0.48) ** 2 < 0.0028 for cx in (0.38, 0.62)):
        return (30, 60, 30)
    if abs(x - 0.5) < 0.03 and abs(y - 0.58) < 0.02:
        return (240, 130, 140)
    if abs((x - 0.5) ** 2 + (y - 0.56) ** 2 - 0.024) < 0.002 and y > 0.63:
        return (90, 50, 30)
    return (236, 160, 70) if ear or (x - 0.5) ** 2 + (y - 0.52) ** 2 < 0.11 else (0, 0, 0)


# ---------------------------------------------------------------- sound

HAPPY_BIRTHDAY = [(0, .5), (0, .25), (2, .75), (0, .75), (5, .75), (4, 1.3), (0, .5), (0, .25), (2, .75), (0, .75), (7, .75), (5, 1.3)]


def hum(notes, seed, rate=16000):
    noise = random.Random(seed)
    out, phase = bytearray(), 0.0
    for note, seconds in notes:
        count = int(rate * seconds)
        for i in range(count):
            wobble = 1 + 0.006 * math.sin(2 * math.pi * 5.2 * i / rate)
            phase += 2 * math.pi * 196 * 2 ** (note / 12) * wobble / rate
            shape = min(1, i / 900, (count - i) / 1400)
            voice = math.sin(phase) + 0.45 * math.sin(2 * phase) + 0.2 * math.sin(3 * phase) + 0.02 * noise.uniform(-1, 1)
            out += int(6500 * shape * voice).to_bytes(2, "little", signed=True)
    return bytes(out)


def ffmpeg(*args, data=b""):
    run = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *args]
    subprocess.run(run, input=data, check=True)


def media(folder):
    exact = ["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1", "-threads", "1"]
    for name, draw in (("IMG-20240915-WA0003.jpg", lake), ("IMG-20240928-WA0011.jpg", cake), ("IMG-20241012-WA0002.jpg", shelf)):
        ffmpeg("-f", "image2pipe", "-c:v", "ppm", "-i", "-", *exact, "-q:v", "4", str(folder / name), data=ppm(draw))
    for name, notes, seed in (("PTT-20240927-WA0004.opus", HAPPY_BIRTHDAY, 1), ("PTT-20241006-WA0007.opus", [(5, .4), (4, .3), (2, .5), (4, .3), (0, .9), (-3, .4), (0, .8)], 2)):
        ffmpeg("-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-", *exact, "-c:a", "libopus", "-b:a", "16k", str(folder / name), data=hum(notes, seed))
    frames = b"".join(ppm(lambda x, y, n=n: cake(x, y, 5 - n // 5, n * 0.9), 320, 240) for n in range(30))
    ffmpeg("-f", "image2pipe", "-framerate", "10", "-c:v", "ppm", "-i", "-", *exact, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "30", "-movflags", "+faststart", str(folder / "VID-20240928-WA0013.mp4"), data=frames)
    ffmpeg("-f", "image2pipe", "-c:v", "ppm", "-i", "-", *exact, "-vf", "colorkey=black:0.02:0", "-c:v", "libwebp", "-quality", "60", str(folder / "STK-20240928-WA0014.webp"), data=ppm(sticker, 192, 192))
    (folder / "Apple cake.txt").write_text(RECIPE, encoding="utf-8")


RECIPE = """Rosi's apple cake

250 g flour, 125 g butter, 125 g sugar, 3 eggs, 1 sachet baking powder, a pinch of salt
5 sour apples, a lemon, cinnamon

Beat butter and sugar until nearly white, then the eggs one by one. Flour last, and not too long.
Apples in thin wedges, lemon over them at once. 180 degrees, 45 minutes, do not open the door.
"""

# ---------------------------------------------------------------- what they wrote
# One line a message: day, time, who, text. "\n" continues a message on the next line.

M, D, L, J, R = "Mum", "Dad", "Lena", "Jonas Weber", "Grandma Rosi"


def file(name, caption=""):
    return f"{LRM}{name} (file attached)" + (f"\n{caption}" if caption else "")


CHAT = [
    ("14/09/2024", "18:02", None, "Messages and calls are end-to-end encrypted. Only people in this chat can read, listen to, or share them. Learn more."),
    ("14/09/2024", "18:02", None, f'{M} created group "{GROUP}"'),
    ("14/09/2024", "18:02", None, f"{M} added you"),
    ("14/09/2024", "18:05", M, "So. One group for everything, then nobody can say nobody told them 😊"),
    ("14/09/2024", "18:06", L, "finally"),
    ("14/09/2024", "18:06", L, "what happened to the other three groups"),
    ("14/09/2024", "18:09", D, "I am still in two of them and I do not know which one I write to"),
    ("14/09/2024", "18:11", J, "Dad that explains the tax question in \"Garden\" 😂"),
    ("14/09/2024", "18:14", R, "Is this the right one now"),
    ("14/09/2024", "18:14", M, "Yes Mama, this one ❤️"),
    ("15/09/2024", "20:31", D, file("IMG-20240915-WA0003.jpg", "At the lake. Water 17 degrees, your mother went in, I held the towel.")),
    ("15/09/2024", "20:33", L, "wow"),
    ("15/09/2024", "20:33", L, "the colours 😍"),
    ("15/09/2024", "20:36", J, "That's my new desktop background, thanks"),
    ("15/09/2024", "20:41", R, "Beautiful. We were there with your father in 1971, with the tent. It rained for nine days."),
    ("15/09/2024", "20:42", M, "And you still tell it as if it had been wonderful"),
    ("15/09/2024", "20:44", R, "It was"),
    ("17/09/2024", "07:48", M, "Does anybody have the blue cool box??"),
    ("17/09/2024", "07:55", D, "cellar, behind the skis"),
    ("17/09/2024", "08:10", M, "There are three boxes behind the skis and none of them is blue"),
    ("17/09/2024", "08:12", J, "It's at mine 🙈 sorry. Since June"),
    ("17/09/2024", "08:12", M, "JONAS"),
    ("17/09/2024", "08:15", J, "I bring it on Sunday, clean, promised"),
    ("17/09/2024", "08:16", L, "with content please"),
    ("19/09/2024", "12:20", L, "passed!!! 🎉🎉🎉"),
    ("19/09/2024", "12:20", L, "statistics. 1.7"),
    ("19/09/2024", "12:21", M, "LENA!!! 😭❤️"),
    ("19/09/2024", "12:21", D, "Well done. I never doubted it."),
    ("19/09/2024", "12:22", J, "Dad asked me on Monday what happens if one fails three times"),
    ("19/09/2024", "12:23", D, "Out of interest."),
    ("19/09/2024", "12:40", R, "Congratulations my child, I light a candle anyway"),
    ("19/09/2024", "12:44", L, "thank you Oma, it helped 😘"),
    ("21/09/2024", "10:02", M, "Listen, on Saturday Grandma turns 80. Only family on the day itself, the big party is in October. Who brings what?\n\nI do the soup\nDad does the drinks\nrest is open"),
    ("21/09/2024", "10:05", J, "I can do salad. The one with the beans"),
    ("21/09/2024", "10:06", L, "cake is mine"),
    ("21/09/2024", "10:06", L, "don't laugh"),
    ("21/09/2024", "10:07", J, "Nobody laughs. The fire brigade has been informed"),
    ("21/09/2024", "10:09", L, "one time. ONE time, and it was the oven"),
    ("21/09/2024", "10:30", M, "Grandma reads along here, by the way"),
    ("21/09/2024", "10:52", R, "I have seen nothing. But not marzipan"),
    ("22/09/2024", "19:15", M, "POLL:\nPresent for Grandma?\nOPTION: Train tickets to the sea (3 votes)\nOPTION: New radio (1 vote)\nOPTION: Photo book (0 votes)\n"),
    ("22/09/2024", "19:16", L, "mum"),
    ("22/09/2024", "19:16", L, "SHE READS ALONG"),
    ("22/09/2024", "19:17", M, "This message was deleted"),
    ("22/09/2024", "19:19", D, "That was the announcement then 😅"),
    ("22/09/2024", "19:40", R, "I would very much like to see the sea"),
    ("22/09/2024", "19:41", J, "Then that's settled 🌊"),
    ("24/09/2024", "16:03", L, "Oma can you send me the recipe for the apple cake"),
    ("24/09/2024", "16:30", R, "I have it only in my head. Jonas write it down please, I tell it to you on the phone"),
    ("24/09/2024", "18:12", J, file("Apple cake.txt")),
    ("24/09/2024", "18:12", J, "Dictated and approved. \"Beat until nearly white\" is a quotation"),
    ("24/09/2024", "18:20", L, "how long is \"not too long\""),
    ("24/09/2024", "18:33", R, "You notice"),
    ("27/09/2024", "21:50", D, file("PTT-20240927-WA0004.opus")),
    ("27/09/2024", "21:51", D, "Rehearsal for tomorrow. Second voice is still missing"),
    ("27/09/2024", "21:53", J, "The first one also 😂"),
    ("27/09/2024", "21:55", M, "I find it lovely"),
    ("28/09/2024", "00:01", L, "🎂 Happy birthday Oma!!! 80!!! 🎂"),
    ("28/09/2024", "07:10", J, "Happy birthday, dear Oma! See you at 3 🌻"),
    ("28/09/2024", "07:32", R, "Thank you children. I was awake at midnight, I saw it Lena ❤️"),
    ("28/09/2024", "14:20", J, "Where do I park? Everything is full here"),
    ("28/09/2024", "14:22", D, "location: https://maps.google.com/?q=47.6603,9.1758"),
    ("28/09/2024", "14:22", D, "Behind the church, ten minutes on foot"),
    ("28/09/2024", "14:23", J, "👍"),
    ("28/09/2024", "15:47", L, file("IMG-20240928-WA0011.jpg", "NOTHING BURNED except what is supposed to")),
    ("28/09/2024", "15:48", M, "It is perfect, look at it"),
    ("28/09/2024", "16:05", M, file("VID-20240928-WA0013.mp4")),
    ("28/09/2024", "16:05", M, "One after the other, with one breath each. At 80 one may do that."),
    ("28/09/2024", "16:09", J, file("STK-20240928-WA0014.webp")),
    ("28/09/2024", "21:14", R, "I am home, feet up. That was the nicest one since the 70th. The tickets lie on the kitchen table and I look at them all the time"),
    ("28/09/2024", "21:15", M, "❤️❤️❤️"),
    ("28/09/2024", "21:16", L, "😭❤️"),
    ("28/09/2024", "21:30", D, "Who has my reading glasses"),
    ("28/09/2024", "21:31", J, "On the cake plate, in the dishwasher"),
    ("28/09/2024", "21:32", D, "Before or after"),
    ("28/09/2024", "21:32", J, "After"),
    ("01/10/2024", "17:40", M, "Who comes on the 12th to help with the shelf in the hall? Jonas has ordered it, so far it is a parcel"),
    ("01/10/2024", "17:44", J, "Me obviously. Two hours at most"),
    ("01/10/2024", "17:45", L, "*screenshot for later*"),
    ("01/10/2024", "17:50", D, "I provide the drill and remarks"),
    ("03/10/2024", "09:12", R, "The man from the railway says I need a reservation for the train. Lena you are good at that"),
    ("03/10/2024", "09:20", L, "already done Oma. coach 7, seat 61, window, direction of travel <This message was edited>"),
    ("03/10/2024", "09:21", R, "You are a treasure"),
    ("03/10/2024", "09:25", L, "platform can still change. I come with you to the station"),
    ("03/10/2024", "10:00", R, "And who waters the tomatoes"),
    ("03/10/2024", "10:02", D, "I do"),
    ("03/10/2024", "10:02", M, "We do"),
    ("06/10/2024", "11:30", R, file("PTT-20241006-WA0007.opus")),
    ("06/10/2024", "11:36", L, "Oma you sent a voice note!!"),
    ("06/10/2024", "11:38", R, "I wanted to photograph it"),
    ("06/10/2024", "11:39", J, "You hummed. It was lovely"),
    ("06/10/2024", "11:45", R, "The sea is there. I sit in front of it. There is nothing else to say"),
    ("06/10/2024", "11:46", M, "😭"),
    ("06/10/2024", "12:10", D, "Tomatoes are fine."),
    ("08/10/2024", "19:03", L, "which one of you gave my number to the choir"),
    ("08/10/2024", "19:05", M, "They need altos"),
    ("08/10/2024", "19:05", L, "muuum"),
    ("08/10/2024", "19:20", M, "Thursday, half past seven, there is wine afterwards"),
    ("08/10/2024", "19:21", L, "why didn't you say so first"),
    ("12/10/2024", "13:02", J, "We have begun"),
    ("12/10/2024", "15:30", L, "and?"),
    ("12/10/2024", "15:48", D, "He has read the instructions now."),
    ("12/10/2024", "18:26", J, file("IMG-20241012-WA0002.jpg", "Done! 5 h 24 min")),
    ("12/10/2024", "18:27", L, "is it"),
    ("12/10/2024", "18:27", L, "is it supposed to lean"),
    ("12/10/2024", "18:28", J, "The house leans. The shelf is straight"),
    ("12/10/2024", "18:31", D, "I said something about a spirit level at 14:10. There are witnesses."),
    ("12/10/2024", "18:35", M, "It stays exactly like that. I love it"),
    ("12/10/2024", "19:00", R, "The marbles will all be on one side, that is practical"),
    ("15/10/2024", "08:14", M, "Dentist called: Dad, YOU have the appointment at 10, not Jonas"),
    ("15/10/2024", "08:15", D, "This message was deleted"),
    ("15/10/2024", "08:16", D, "On my way"),
    ("18/10/2024", "20:15", J, "I backed up our chat here today, with all the pictures. In case a phone falls into the lake again"),
    ("18/10/2024", "20:17", D, "It was one phone and it was slippery"),
    ("18/10/2024", "20:18", L, "do we get a copy?"),
    ("18/10/2024", "20:19", J, "Yes. And the key goes on paper into Oma's tin, where the buttons are"),
    ("18/10/2024", "20:31", R, "Nobody finds anything in there. It is safe"),
    ("18/10/2024", "20:32", M, "And the present for the next one? 81 is also a number 😉\nIdeas to me, NOT in here"),
    ("18/10/2024", "20:33", R, "I have seen nothing"),
    ("20/10/2024", "10:05", D, "Good morning from the lake. 11 degrees. This time I went in."),
    ("20/10/2024", "10:06", M, "Up to the knees. But it counts"),
]


def main():
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("family-chat.zip"))
    text = "".join(f"{day}, {time} - {f'{who}: ' if who else ''}{said}\n" for day, time, who, said in CHAT)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        media(folder)
        with zipfile.ZipFile(target, "w") as out:
            def add(name, data, how):
                entry = zipfile.ZipInfo(name, (2024, 10, 20, 10, 30, 0))
                entry.compress_type, entry.external_attr, entry.create_system = how, 0o644 << 16, 3
                out.writestr(entry, data)
            add(f"WhatsApp Chat with {GROUP}.txt", text.encode(), zipfile.ZIP_DEFLATED)
            for file in sorted(folder.iterdir()):
                add(file.name, file.read_bytes(), zipfile.ZIP_STORED)
    print(f"{target}: {len(CHAT)} lines, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
