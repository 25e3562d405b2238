package event

// An editor copies an object's bytes and edits them on the way. It cuts only where a field ends:
// after an opening brace or a value. So what it copies next begins, after white space, with a
// comma, a key or a closing brace, and it knows where a comma is needed.
type editor struct {
	raw, dst []byte
	start    int    // in dst: where the fields of the object begin into which it inserts
	from     uint32 // in raw: what stands before it is done
}

// A setting is a field and its new value.
type setting struct {
	key string // with quotes and colon
	at  span   // in the object: the value to replace; empty: the field is absent
}

// newEditor begins to edit the object raw.
func newEditor(dst, raw []byte) editor {
	dst = append(dst, '{')
	return editor{raw: raw, dst: dst, start: len(dst), from: 1}
}

// finish copies the rest and returns the result.
func (ed *editor) finish() []byte {
	ed.copyTo(uint32(len(ed.raw)))
	return ed.dst
}

// copyTo copies up to an offset, and writes or drops the comma before it as needed.
func (ed *editor) copyTo(end uint32) {
	piece := ed.raw[ed.from:end]
	ed.from = end
	i := 0
	for i < len(piece) && piece[i] <= ' ' {
		i++
	}
	if i < len(piece) {
		switch written := len(ed.dst) > ed.start; {
		case piece[i] == ',' && !written:
			piece = piece[i+1:]
		case piece[i] == '"' && written:
			ed.dst = append(ed.dst, ',')
		}
	}
	ed.dst = append(ed.dst, piece...)
}

// replace copies up to a value and skips it; the caller writes another.
func (ed *editor) replace(value span) {
	ed.copyTo(value.from)
	ed.from = value.to
}

// remove copies up to a field and skips it.
func (ed *editor) remove(p *place) { ed.replace(span{p.before, p.to}) }

// insert begins a field before those that are not copied yet; the caller writes its value.
func (ed *editor) insert(key string) {
	if len(ed.dst) > ed.start {
		ed.dst = append(ed.dst, ',')
	}
	ed.dst = append(ed.dst, key...)
}

// set sets up to two fields of the object whose brace is at the offset object. An absent field is
// inserted first in the object; a present one is replaced in its place.
func (ed *editor) set(object uint32, settings []setting, appendValue func(dst []byte, key string) []byte) {
	for _, s := range settings {
		if s.at.to == 0 {
			ed.insert(s.key)
			ed.dst = appendValue(ed.dst, s.key)
		}
	}
	if len(settings) == 2 && settings[0].at.from > settings[1].at.from {
		settings[0], settings[1] = settings[1], settings[0]
	}
	for _, s := range settings {
		if s.at.to != 0 {
			ed.replace(span{object + s.at.from, object + s.at.to})
			ed.dst = appendValue(ed.dst, s.key)
		}
	}
}

// enter copies up to the first field of the object whose brace is at the offset object. Insertions
// go there from now on.
func (ed *editor) enter(object uint32) {
	ed.copyTo(object + 1)
	ed.start = len(ed.dst)
}
