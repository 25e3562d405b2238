package lambda

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
)

// A Routing says which version an alias names, and which part of its invocations another one gets.
type Routing struct {
	Version string // "$LATEST" only where there is no other

	Other  string  // a second published version; empty: there is none
	Weight float64 // the part of Other: 0 to 1
}

// An Alias is a name for a version, or for two that share its invocations. For each invocation it
// draws which one runs (Lambda developer guide, "Implement Lambda canary deployments using a
// weighted alias": a simple probabilistic model, so among few invocations the parts vary much). It
// is safe for concurrent use.
type Alias struct {
	function *Function
	name     string

	mu      sync.Mutex
	routing Routing
	random  func() float64
}

// aliasName is what Lambda takes as an alias's name (API reference, CreateAlias: no number alone).
var aliasName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

var onlyDigits = regexp.MustCompile(`^[0-9]+$`)

// CreateAlias makes an alias. The error says what is wrong with its name or routing.
func (f *Function) CreateAlias(name string, r Routing) (*Alias, error) {
	if !aliasName.MatchString(name) || onlyDigits.MatchString(name) {
		return nil, fmt.Errorf("create alias %q of %s: the name must be 1 to 128 letters, digits, - and _, and not a number",
			name, f.info.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.aliases[name] != nil {
		return nil, fmt.Errorf("create alias %q of %s: it exists; change its routing instead", name, f.info.Name)
	}
	if err := f.check(r); err != nil {
		return nil, fmt.Errorf("create alias %q of %s: %w", name, f.info.Name, err)
	}
	a := &Alias{function: f, name: name, routing: r, random: rand.Float64}
	f.aliases[name] = a
	return a, nil
}

// Alias returns the alias of that name.
func (f *Function) Alias(name string) (*Alias, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.aliases[name]
	return a, ok
}

// check returns what is wrong with a routing; the caller holds mu.
func (f *Function) check(r Routing) error {
	for _, number := range []string{r.Version, r.Other} {
		if _, ok := f.version(number); !ok && (number == r.Version || number != "") {
			return fmt.Errorf("there is no version %q; publish one first", number)
		}
	}
	switch {
	case r.Other == "" && r.Weight != 0:
		return fmt.Errorf("the weight is %v, but there is no second version", r.Weight)
	case r.Other == "":
		return nil
	case r.Version == Latest || r.Other == Latest:
		return fmt.Errorf("an alias of two versions can't name %s; publish it", Latest)
	case r.Version == r.Other:
		return fmt.Errorf("both versions are %s", r.Version)
	case !(r.Weight >= 0 && r.Weight <= 1):
		return fmt.Errorf("the weight must be 0 to 1, is %v", r.Weight)
	}
	return nil
}

// Route changes what the alias names, from the next invocation on.
func (a *Alias) Route(r Routing) error {
	a.function.mu.Lock()
	err := a.function.check(r)
	a.function.mu.Unlock()
	if err != nil {
		return fmt.Errorf("route alias %q of %s: %w", a.name, a.function.info.Name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.routing = r
	return nil
}

// Routing returns what the alias names.
func (a *Alias) Routing() Routing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.routing
}

// Name is the alias's, such as "live".
func (a *Alias) Name() string { return a.name }

// ARN implements Invoker.
func (a *Alias) ARN() string { return qualified(a.function.info.ARN, a.name) }

// Function is the function that the alias is of.
func (a *Alias) Function() *Function { return a.function }

// Invoke implements Invoker.
func (a *Alias) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return a.target().invoke(ctx, a.ARN(), payload)
}

// Seed lets the alias draw from now on what it draws each time with this seed.
func (a *Alias) Seed(seed uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.random = rand.New(rand.NewPCG(seed, 0xa11a5)).Float64
}

// draw draws the number of the version that gets an invocation.
func (a *Alias) draw() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.routing; r.Other != "" && a.random() < r.Weight {
		return r.Other
	}
	return a.routing.Version
}

// target is the version that gets an invocation.
func (a *Alias) target() *Version {
	number := a.draw()
	a.function.mu.Lock()
	defer a.function.mu.Unlock()
	v, _ := a.function.version(number) // Route has checked it, and no version is ever deleted
	return v
}

// nameIn is the function's name, with its qualifier, in an ARN.
func nameIn(arn string) string {
	_, name, _ := strings.Cut(arn, ":function:")
	return name
}
