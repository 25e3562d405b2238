package main

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	cellWidth, cellHeight = 8.4, 19 // of a character of 14 pixels; a monospaced font's is about 0.6 of its size wide
	margin, titleHeight   = 16, 30
	fastest               = 120 * time.Millisecond // between two pictures of a terminal
)

//go:embed style.css
var style string

// A frame is a picture of a terminal from a time on.
type frame struct {
	at time.Duration
	screen
}

// same reports whether two frames show the same.
func (f *frame) same(g *frame) bool {
	return slices.Equal(f.rows, g.rows) && f.row == g.row && (f.row < 0 || f.column == g.column)
}

// frames are the distinct pictures of a terminal, in the time of the recording.
func (r *recording) frames(of int) (all []frame) {
	for _, s := range r.samples {
		f := frame{r.played(s.at), s.screens[of]}
		if of != shell {
			f.row = -1 // only the user's terminal shows its cursor
		}
		switch n := len(all); {
		case n > 0 && all[n-1].same(&f):
		case n > 0 && f.at-all[n-1].at < fastest:
			all[n-1].screen = f.screen
		default:
			all = append(all, f)
		}
	}
	all[0].at = 0
	return all
}

// svg draws a recording.
func (r *recording) svg(phone bool) string {
	width := columns*cellWidth + 4*margin
	if phone {
		width = phoneColumns*cellWidth + 4*margin
	}
	total := r.played(r.lasted)
	d := drawing{ids: map[string]int{}}
	var films, keyframes, still strings.Builder
	y := float64(margin)
	for i, p := range panes {
		rows := p.rows
		if phone {
			rows = p.phoneRows
		}
		height := float64(rows*cellHeight + margin)
		fmt.Fprintf(&films, `<text class="title" x="%d" y="%g">%s</text>`+"\n", 2*margin, y+titleHeight-10, p.title)
		y += titleHeight
		fmt.Fprintf(&films, `<rect class="pane" x="%d" y="%g" width="%g" height="%g" rx="6"/>`+"\n", margin, y,
			width-2*margin, height)
		fmt.Fprintf(&films, `<svg x="%d" y="%g" width="%g" height="%d"><g class="film" id="film%d">`+"\n",
			2*margin, y+margin/2, width-4*margin, rows*cellHeight, i)
		frames := r.frames(i)
		fmt.Fprintf(&keyframes, "@keyframes film%d{", i)
		for n, f := range frames {
			d.frame(&films, &f, i, float64(n*rows*cellHeight))
			fmt.Fprintf(&keyframes, "%.3f%%{transform:translateY(%dpx)}", percent(f.at, total), -n*rows*cellHeight)
		}
		last := -(len(frames) - 1) * rows * cellHeight
		fmt.Fprintf(&keyframes, "to{transform:translateY(%dpx)}}\n", last)
		fmt.Fprintf(&still, "#film%d{transform:translateY(%dpx);animation-name:film%d}\n", i, last, i)
		films.WriteString("</g></svg>\n")
		y += height
	}
	for i, w := range r.waits {
		fmt.Fprintf(&films, `<text class="fast" id="fast%d" x="%g" y="%d" text-anchor="end">%.0f s, played faster ▸▸</text>
`,
			i, width-2*margin, margin+titleHeight-10, (w.to - w.from).Seconds())
		fmt.Fprintf(&keyframes, "@keyframes fast%d{0%%{opacity:0}%.3f%%{opacity:1}%.3f%%{opacity:0}to{opacity:0}}\n", i,
			percent(r.played(w.from), total), percent(r.played(w.to), total))
		fmt.Fprintf(&still, "#fast%d{animation-name:fast%d}\n", i, i)
	}
	height := y + margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g"
 xml:space="preserve" role="img" aria-labelledby="t d">
<title id="t">Three terminals: spillway up, spillway tail, and a user's</title>
<desc id="d">%s</desc>
<style>
%s.film,.fast{animation-duration:%.1fs}
%s%s</style>
<defs>
%s</defs>
<rect class="back" width="%g" height="%g" rx="10"/>
%s</svg>
`, width, height, width, height, html.EscapeString(described), style, total.Seconds(), still.String(), keyframes.String(),
		d.defs.String(), width, height, films.String())
}

const described = "spillway up runs the pipeline, and spillway tail follows a user's events. The user sends an " +
	"event, and it is delivered. Segment fails for 20 seconds: the next event is retried, and a thousand others wait " +
	"in the backlog. Half a minute later all are delivered. Then Segment rejects one event, which becomes a " +
	"dead letter; spillway dlq ls shows it with Segment's answer."

func percent(at, of time.Duration) float64 { return 100 * float64(at) / float64(of) }

// A drawing has each distinct row once.
type drawing struct {
	defs strings.Builder
	ids  map[string]int
}

func (d *drawing) frame(to *strings.Builder, f *frame, of int, top float64) {
	command := false
	for i, row := range f.rows {
		command = strings.HasPrefix(row, "$ ") || command && i > 0 && utf8.RuneCountInString(f.rows[i-1]) >= phoneColumns &&
			!strings.HasPrefix(row, "{")
		if row == "" {
			continue
		}
		text := paint(row, of, command)
		id, ok := d.ids[text]
		if !ok {
			id = len(d.ids)
			d.ids[text] = id
			fmt.Fprintf(&d.defs, `<text id="r%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n", id,
				cellWidth*float64(utf8.RuneCountInString(row)), text)
		}
		fmt.Fprintf(to, `<use href="#r%d" y="%g"/>`, id, top+float64(i*cellHeight)+14)
	}
	if f.row >= 0 {
		fmt.Fprintf(to, `<rect class="cursor" x="%.1f" y="%g" width="%g" height="%d"/>`, float64(f.column)*cellWidth,
			top+float64(f.row*cellHeight), cellWidth, cellHeight-2)
	}
	to.WriteString("\n")
}

var (
	tailLine = regexp.MustCompile(`^([0-9:.]+ +)(delivered|retried|dead_lettered)( .*)$`)
	viewRow  = regexp.MustCompile(`^(  [a-z]+(?: [a-z]+)? {2,})(.*)$`)
	isZero   = regexp.MustCompile(`^(0 |0\.0s|no$|ok$)`)
)

// paint marks the parts of a row with their colours.
func paint(row string, of int, command bool) string {
	part := func(class, text string) string {
		text = html.EscapeString(text)
		if class == "" {
			return text
		}
		return `<tspan class="` + class + `">` + text + "</tspan>"
	}
	if rest, ok := strings.CutPrefix(row+" ", "$ "); ok {
		rest = strings.TrimRight(rest, " ")
		class := "command"
		if strings.HasPrefix(rest, "#") {
			class = "comment"
		}
		return part("prompt", row[:len(row)-len(rest)]) + part(class, rest)
	}
	if command {
		return part("command", row)
	}
	if m := tailLine.FindStringSubmatch(row); m != nil && of == outcomes {
		return part("dim", m[1]) + part(m[2], m[2]) + part("", m[3])
	}
	if m := viewRow.FindStringSubmatch(row); m != nil && of == pipeline {
		class := ""
		if !isZero.MatchString(m[2]) {
			class = map[string]string{"backlog": "retried", "oldest": "retried", "degraded": "retried", "delivered": "delivered",
				"dead letters": "dead_lettered"}[strings.TrimSpace(m[1])]
		}
		return part("dim", m[1]) + part(class, m[2])
	}
	return part("", row)
}

// rowsOf are the distinct rows of a recording that svg has drawn.
func rowsOf(drawn string) ([]string, error) {
	var doc struct {
		Rows []struct {
			Inner string `xml:",innerxml"`
		} `xml:"defs>text"`
	}
	if err := xml.Unmarshal([]byte(drawn), &doc); err != nil {
		return nil, err
	}
	tag := regexp.MustCompile(`<[^>]*>`)
	rows := make([]string, 0, len(doc.Rows))
	for _, r := range doc.Rows {
		rows = append(rows, html.UnescapeString(tag.ReplaceAllString(r.Inner, "")))
	}
	return rows, nil
}
