package status

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Site is what the operator of the page may choose. The zero value is a page with the default
// title, no logo, no links and the default names of its components.
type Site struct {
	Title string `json:"title,omitempty"` // at most 60 characters; default: "Event delivery"
	// URL is where the site is served, like https://status.example.com: the feed and clients of the
	// API need it, and pages work without.
	URL string `json:"url,omitempty"`
	// Logo is a picture as a data: URL of at most 64 KB. In a file that LoadSite reads it may be
	// the name of a file beside that one.
	Logo  string `json:"logo,omitempty"`
	Links []Link `json:"links,omitempty"` // at most 6, in the page's footer
	// Components names what the page shows, by part ("ingest") or by part and region
	// ("ingest-eu-west-1").
	Components map[string]Named `json:"components,omitempty"`
	// Regions names regions for customers, like "Europe" for eu-west-1.
	Regions map[string]string `json:"regions,omitempty"`
}

// A Link is one of the page's links to elsewhere.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"` // http, https or mailto
}

// A Named is what a component is called.
type Named struct {
	Name        string `json:"name,omitempty"`        // at most 60 characters
	Description string `json:"description,omitempty"` // a sentence, at most 200 characters
}

// Bounds of a Site.
const (
	maxSiteBytes = 128 << 10
	maxLogoBytes = 64 << 10
	maxLinks     = 6
	maxName      = 60
	maxSentence  = 200
)

// defaults are the names of components that a site does not name.
var defaults = map[Part]Named{
	Ingest:   {"Ingest API", "Accepts events from SDKs and servers."},
	Delivery: {"Delivery", "Sends accepted events on to Segment."},
}

// logos are the types of pictures that a page may show. A picture runs no script, SVG neither.
var logos = map[string]string{
	"image/svg+xml": "logo.svg", "image/png": "logo.png", "image/webp": "logo.webp", "image/jpeg": "logo.jpg",
	"image/gif": "logo.gif",
}

// ErrUnknownField says that a Site's JSON has a field that this version does not know. It is mostly
// a misspelt one, so who writes the file is told; what runs goes on, because after a roll-back it
// may be a newer version's.
var ErrUnknownField = errors.New("the site's file has an unknown field")

// ParseSite reads a Site's JSON. The errors name the field, what it must be and what it is. With an
// ErrUnknownField the Site has all else.
func ParseSite(data []byte) (Site, error) {
	s, err := parseSite(data, true)
	if err != nil {
		if known, wrong := parseSite(data, false); wrong == nil {
			return known, fmt.Errorf("%w: %w", ErrUnknownField, err)
		}
	}
	return s, err
}

func parseSite(data []byte, strict bool) (Site, error) {
	var s Site
	if len(data) > maxSiteBytes {
		return s, fmt.Errorf("the site's file must be at most %d KB, is %d KB: make the logo smaller",
			maxSiteBytes>>10, len(data)>>10)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(&s); errors.Is(err, io.EOF) {
		return s, errors.New("the site's file is empty: it must be a JSON object like {\"title\": \"Example events\"}")
	} else if err != nil {
		return s, fmt.Errorf("the site's file must be a JSON object with title, url, logo, links, components and regions: %w",
			err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, errors.New("the site's file must be one JSON object, and something comes after it")
	}
	return s, s.Validate()
}

// LoadSite reads the file of a Site and, if its logo is the name of a file beside it, that one too.
func LoadSite(file string) (Site, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Site{}, fmt.Errorf("read the status site's file: %w", err)
	}
	if data, err = withLogo(data, filepath.Dir(file)); err != nil {
		return Site{}, fmt.Errorf("%s: %w", file, err)
	}
	s, err := ParseSite(data)
	if err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// withLogo replaces the name of the logo's file by what is in it.
func withLogo(data []byte, dir string) ([]byte, error) {
	var fields map[string]json.RawMessage
	var name string
	if json.Unmarshal(data, &fields) != nil || json.Unmarshal(fields["logo"], &name) != nil || name == "" ||
		strings.Contains(name, ":") {
		return data, nil // ParseSite says what is wrong
	}
	kind, _, _ := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name)))
	if _, ok := logos[kind]; !ok {
		return nil, fmt.Errorf("logo must be a file that ends with .svg, .png, .webp, .jpg or .gif, is %q", name)
	}
	picture, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read the logo: %w", err)
	}
	if len(picture) > maxLogoBytes {
		return nil, fmt.Errorf("logo must be a file of at most %d KB, %s has %d KB", maxLogoBytes>>10, name, len(picture)>>10)
	}
	fields["logo"], err = json.Marshal("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(picture))
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// Validate returns the first thing that is wrong with a Site, nil if nothing is.
func (s *Site) Validate() error {
	if err := short("title", s.Title, maxName); err != nil {
		return err
	}
	if u, err := url.Parse(s.URL); s.URL != "" &&
		(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
			u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		return fmt.Errorf("url must be where the site is served, like https://status.example.com, is %q", s.URL)
	}
	if s.Logo != "" {
		if _, _, err := s.picture(); err != nil {
			return err
		}
	}
	if len(s.Links) > maxLinks {
		return fmt.Errorf("links must be at most %d, are %d", maxLinks, len(s.Links))
	}
	for i, l := range s.Links {
		if err := l.validate(fmt.Sprintf("links[%d]", i)); err != nil {
			return err
		}
	}
	for key, c := range s.Components {
		if part := Part(strings.SplitN(key, "-", 2)[0]); part != Ingest && part != Delivery {
			return fmt.Errorf("components must be named ingest, delivery, or these with a region like ingest-eu-west-1; "+
				"there is %q", key)
		}
		if err := errors.Join(short("components."+key+".name", c.Name, maxName),
			short("components."+key+".description", c.Description, maxSentence)); err != nil {
			return err
		}
	}
	for key, name := range s.Regions {
		if err := short("regions."+key, name, maxName); err != nil {
			return err
		}
	}
	return nil
}

func (l *Link) validate(field string) error {
	if strings.TrimSpace(l.Text) == "" {
		return fmt.Errorf("%s.text must not be empty", field)
	}
	if err := short(field+".text", l.Text, maxName); err != nil {
		return err
	}
	u, err := url.Parse(l.URL)
	if err != nil || !slices.Contains([]string{"http", "https", "mailto"}, u.Scheme) || len(l.URL) > 500 {
		return fmt.Errorf("%s.url must begin with https://, http:// or mailto: and have at most 500 characters, is %.100q",
			field, l.URL)
	}
	return nil
}

// short refuses a text of more than limit characters, or of more than a line.
func short(field, text string, limit int) error {
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%s must have at most %d characters, has %d", field, limit, n)
	}
	if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		return fmt.Errorf("%s must be one line of text, is %q", field, text)
	}
	return nil
}

// picture decodes the logo.
func (s *Site) picture() (file string, data []byte, err error) {
	head, body, _ := strings.Cut(strings.TrimPrefix(s.Logo, "data:"), ",")
	kind, encoded := strings.CutSuffix(head, ";base64")
	file, ok := logos[kind]
	if ok && encoded {
		data, err = base64.StdEncoding.DecodeString(body)
	}
	if !ok || !encoded || err != nil || len(data) == 0 {
		return "", nil, fmt.Errorf("logo must be a data: URL in base64 of a picture (SVG, PNG, WebP, JPEG, GIF), or "+
			"the name "+
			"of a file where the site is read from a file; it is %.40q", s.Logo)
	}
	if len(data) > maxLogoBytes {
		return "", nil, fmt.Errorf("logo must have at most %d KB, has %d KB", maxLogoBytes>>10, len(data)>>10)
	}
	return file, data, nil
}

func (s *Site) title() string {
	if s.Title == "" {
		return "Event delivery"
	}
	return s.Title
}

// region is what customers call a region.
func (s *Site) region(name string) string {
	if called := s.Regions[name]; called != "" {
		return called
	}
	return name
}

// named is what a component is called; those of several regions are told apart elsewhere.
func (s *Site) named(c *Component) Named {
	n := defaults[c.Part]
	for _, key := range []string{string(c.Part), c.ID} {
		if own := s.Components[key]; own.Name != "" {
			n.Name = own.Name
		}
		if own := s.Components[key]; own.Description != "" {
			n.Description = own.Description
		}
	}
	return n
}
