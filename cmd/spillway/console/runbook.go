package console

import (
	"bytes"
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	marktext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"github.com/spillwayhq/spillway/docs"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A runbook is the runbook as HTML, with the names of this pipeline.
type runbook struct {
	whole    template.HTML
	contents []entry
	sections map[string]template.HTML // by the anchor of their heading
}

// An entry is a line of the runbook's contents.
type entry struct {
	Anchor, Title string
	Part          bool // of the entry before
}

// Whole and Contents are for the runbook's page.
func (r *runbook) Whole() template.HTML { return r.whole }

// Contents are its headings.
func (r *runbook) Contents() []entry { return r.contents }

func (r *runbook) section(anchor string) template.HTML { return r.sections[anchor] }

// heading is one of a section of the runbook.
var heading = regexp.MustCompile(`(?m)^#{2,3} (.+)$`)

// newRunbook renders the runbook. Raw HTML in it is left out.
func newRunbook(n topology.Names) *runbook {
	source := namesOf(docs.Runbook, n)
	r := &runbook{whole: markdown(source), sections: map[string]template.HTML{}}
	headings := heading.FindAllStringSubmatchIndex(source, -1)
	for i, at := range headings {
		end := len(source)
		if i+1 < len(headings) {
			end = headings[i+1][0]
		}
		title := source[at[2]:at[3]]
		r.sections[anchor(title)] = markdown(source[at[1]:end])
		r.contents = append(r.contents, entry{anchor(title), title, strings.HasPrefix(source[at[0]:at[1]], "###")})
	}
	return r
}

// namesOf puts the pipeline's names in the place of the default one's, which the runbook has.
func namesOf(source string, n topology.Names) string {
	d := topology.DefaultNames()
	if n == d {
		return source
	}
	name := regexp.MustCompile("\\b" + regexp.QuoteMeta(d.Pipeline) + "-[a-z][a-z-]+")
	source = name.ReplaceAllStringFunc(source,
		func(s string) string { return n.Pipeline + strings.TrimPrefix(s, d.Pipeline) })
	return strings.ReplaceAll(source, "NAME="+d.Pipeline+"\n", "NAME="+n.Pipeline+"\n")
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 -]`)

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// renderer makes HTML of the runbook's markdown.
var renderer = goldmark.New(
	goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(links{}, 100))),
	goldmark.WithRendererOptions(html.WithXHTML()),
)

func markdown(source string) template.HTML {
	var b bytes.Buffer
	if err := renderer.Convert([]byte(source), &b,
		parser.WithContext(parser.NewContext(parser.WithIDs(&anchors{})))); err != nil {
		return template.HTML(template.HTMLEscapeString(fmt.Sprintf("the runbook can't be shown: %v", err)))
	}
	return template.HTML(b.String())
}

// anchors gives headings the anchors that the runbook's links have.
type anchors struct{}

// Generate implements parser.IDs.
func (anchors) Generate(value []byte, _ ast.NodeKind) []byte { return []byte(anchor(string(value))) }

// Put implements parser.IDs.
func (anchors) Put([]byte) {}

// links makes the runbook's links work on the page: those to its own sections lead to the page's
// runbook, and those to other documents to the repository.
type links struct{}

// Transform implements parser.ASTTransformer.
func (links) Transform(doc *ast.Document, _ marktext.Reader, _ parser.Context) {
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if l, ok := n.(*ast.Link); ok && entering {
			l.Destination = []byte(linked(string(l.Destination)))
			if strings.HasPrefix(string(l.Destination), "https:") {
				l.SetAttributeString("rel", []byte("noreferrer"))
			}
		}
		return ast.WalkContinue, nil
	})
}

func linked(to string) string {
	switch {
	case strings.HasPrefix(to, "#"):
		return "/runbook" + to
	case strings.Contains(to, "://"):
		return to
	}
	return topology.DefaultRunbook[:strings.LastIndex(topology.DefaultRunbook, "/")+1] + to
}
