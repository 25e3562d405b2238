package console

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
)

const (
	// maxForm bounds what a form sends: a few fields.
	maxForm = 16 << 10
	// maxURL bounds an address: the longest has a messageId or a userId to look for.
	maxURL = 4 << 10
)

// policy lets the page load its own style and script, and nothing else; nobody may frame it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// bounded sets what holds for every answer, and bounds every request.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		// Not no-referrer: with it a browser sends Origin: null with the page's own forms, which
		// the guard refuses as it must.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if len(r.RequestURI) > maxURL {
			http.Error(w, "the address is too long", http.StatusRequestURITooLong)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// action registers a form's target. do is called only if the form is one of this page's; it returns
// what to tell and where to go on, a path of this page.
func (c *Console) action(mux *http.ServeMux, path string, do func(r *http.Request) (said, next string, err error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		if !c.isOurs(w, r) {
			return
		}
		said, next, err := do(r)
		n := notice{Text: said}
		if err != nil {
			n = notice{Text: sentence(err.Error()), Bad: true}
		}
		http.Redirect(w, r, c.notices.add(next, n), http.StatusSeeOther)
	})
}

// isOurs reads a form, and reports whether it is one of this page's; otherwise it answers why not.
func (c *Console) isOurs(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		c.fail(w, r, status, errors.New("the form can't be read: go back, reload the page and try again"))
		return false
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(c.token)) != 1 {
		c.fail(w, r, http.StatusForbidden, errors.New("the form is not one of this page's, or Spillway has been "+
			"restarted since: go back, reload the page and try again. Nothing was changed"))
		return false
	}
	return true
}

// sentence is an error as a page says it: with a capital, and a full stop.
func sentence(text string) string {
	text = capital(text)
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
