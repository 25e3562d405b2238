package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"sync"
)

// A notice says what an action has done.
type notice struct {
	Text string
	Bad  bool
}

// maxNotices is how many notices wait to be read: each is a page that somebody has not loaded yet.
const maxNotices = 64

// notices are what actions have said, until the page after them shows it. So a reload of that page
// repeats no action. The zero value has none.
type notices struct {
	mu    sync.Mutex
	ids   []string // oldest first
	texts map[string]notice
}

// add keeps a notice for the page at next, and returns that page's address with it.
func (n *notices) add(next string, said notice) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := rand.Text()
	if n.texts == nil {
		n.texts = map[string]notice{}
	}
	if len(n.ids) == maxNotices {
		delete(n.texts, n.ids[0])
		n.ids = n.ids[1:]
	}
	n.ids = append(n.ids, id)
	n.texts[id] = said
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || u.Path == "" || u.Path[0] != '/' {
		u = &url.URL{Path: "/"}
	}
	q := u.Query()
	q.Set("said", id)
	u.RawQuery = q.Encode()
	return u.String()
}

// of returns the notice that a page is to show; nil: none.
func (n *notices) of(r *http.Request) *notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	said, ok := n.texts[r.URL.Query().Get("said")]
	if !ok {
		return nil
	}
	return &said
}
