package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"regexp"
	"strings"
	"time"
)

//go:embed page.css
var css string

//go:embed page.js
var script string

//go:embed page.html
var pageHTML string

// MaxPage is the most bytes that a page has. What does not fit is shortened, and says where the
// whole is.
const MaxPage = 30 << 10

var (
	pageCSS = squeeze(css)
	pageJS  = squeeze(script)

	// policy is what a page may do: show itself, its logo, and ask its own site if it is still new.
	policy = "default-src 'none'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
		"style-src " +
		hashOf(pageCSS) + "; script-src " + hashOf(pageJS)

	pages = template.Must(template.New("page").Funcs(template.FuncMap{
		"staleSeconds": StaleAfter.Seconds, "staleAfter": func() string { return ageInWords(StaleAfter) }, "iso": iso,
		"long": stamp, "short": func(t time.Time) string { return t.UTC().Format("2 Jan, 15:04 UTC") },
		"day":   func(t time.Time) string { return t.UTC().Format("2 January, 15:04 UTC") },
		"until": func(from, until time.Time) string { return moment(until, from) },
	}).Parse(pageHTML))
)

// squeeze removes what only readers of the source need.
func squeeze(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			b.WriteString(line + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func iso(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Render writes the site: the page of the present, the feed, the document, the API, the logo, and a
// page and a file for each of the months. The same input gives the same files. No page has more
// than MaxPage bytes, whatever the document holds.
func Render(s Site, d Document, months []Month) map[string][]byte {
	files := statuspage(&s, &d)
	files[DocumentFile] = d.Encode()
	files["feed.atom"] = feed(&s, &d)
	files["index.html"] = page(func(l detail) view { return nowView(&s, &d, l) })
	files[MissingFile] = missing(&s)
	for i := range months {
		m := &months[i]
		files[MonthFile(m.Month)] = m.Encode()
		files["history/"+m.Month+".html"] = page(func(l detail) view { return monthView(&s, &d, m, l) })
	}
	if file, picture, err := s.picture(); err == nil {
		files[file] = picture
	}
	return files
}

// A detail is how much a page tells of each thing.
type detail struct {
	updates, runes int  // of an incident, and characters of each update
	past           int  // incidents and maintenances that are over
	now            int  // those that are not
	days           int  // listed of each component
	titles         bool // of each bar that is not as usual
	noBars         bool // of the days
}

// details are tried in this order until a page is small enough. The last ones are for pages of
// which everything is at its bound.
var details = []detail{
	{updates: 12, runes: maxText, past: 20, now: 20, days: 12, titles: true},
	{updates: 8, runes: maxText, past: 12, now: 20, days: 6, titles: true},
	{updates: 4, runes: 800, past: 8, now: 20, days: 3},
	{updates: 2, runes: 300, past: 5, now: 10},
	{updates: 1, runes: 160, past: 2, now: 5},
	{updates: 1, runes: 160, past: 2, now: 5, noBars: true},
	{updates: 1, runes: 80, now: 2, noBars: true},
}

// page writes a page with as much detail as fits.
func page(of func(detail) view) []byte {
	var b bytes.Buffer
	for _, l := range details {
		b.Reset()
		if err := pages.Execute(&b, of(l)); err != nil {
			panic("status: write a page: " + err.Error()) // its fields are ours
		}
		if b.Len() <= MaxPage {
			break
		}
	}
	return bytes.Clone(b.Bytes())
}

// address matches what becomes a link: no white space, no character that ends an attribute, and no
// punctuation that ends the sentence.
var address = regexp.MustCompile(`https?://[^\s<>"'\x60]*[^\s<>"'\x60.,;:!?)\]}]`)

// linked escapes a text. Its http and https addresses become links, its line breaks stay.
func linked(text string) template.HTML {
	var b strings.Builder
	plain := func(part string) {
		b.WriteString(strings.ReplaceAll(template.HTMLEscapeString(part), "\n", "<br>"))
	}
	rest := text
	for {
		found := address.FindStringIndex(rest)
		if found == nil {
			plain(rest)
			return template.HTML(b.String()) // all of it is escaped above
		}
		plain(rest[:found[0]])
		to := template.HTMLEscapeString(rest[found[0]:found[1]])
		b.WriteString(`<a href="` + to + `" rel="nofollow noreferrer">` + to + `</a>`)
		rest = rest[found[1]:]
	}
}

// paragraphs is a text as paragraphs, cut after so many characters.
func paragraphs(text string, limit int) template.HTML {
	if runes := []rune(text); len(runes) > limit {
		text = strings.TrimSpace(string(runes[:limit])) + "…"
	}
	var b strings.Builder
	for part := range strings.SplitSeq(text, "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			b.WriteString("<p>" + string(linked(part)) + "</p>")
		}
	}
	return template.HTML(b.String()) // linked has escaped it
}
