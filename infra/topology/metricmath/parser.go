package metricmath

import (
	"errors"
	"slices"
)

type parser struct {
	lexer   lexer
	now     token
	depth   int
	metrics []string
}

func (p *parser) parse() (node, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.expression()
	switch {
	case err != nil:
		return nil, err
	case p.now.is != end:
		return nil, mistake(p.now.at, "unexpected %q after the end of the expression", p.now.text)
	case root.kind() == scalar:
		return nil, errors.New("the result is a single number, and an alarm needs a time series: use a metric in it")
	case root.kind() == array:
		return nil, errors.New("the result is an array of time series, and an alarm watches one: take its SUM, MAX or MIN")
	}
	return root, nil
}

func (p *parser) advance() (err error) {
	p.now, err = p.lexer.next()
	return err
}

// at reports whether the parser stands at one of these symbols or words.
func (p *parser) at(texts ...string) bool {
	return (p.now.is == symbol || p.now.is == upper) && slices.Contains(texts, p.now.text)
}

// take goes past the symbol if the parser stands at it.
func (p *parser) take(text string) error {
	if p.now.is != symbol || p.now.text != text {
		return p.expected("%q", text)
	}
	return p.advance()
}

func (p *parser) expected(format string, args ...any) error {
	err := mistake(p.now.at, "expected "+format, args...)
	if p.now.is == end {
		return errors.Join(err, errors.New("the expression ends too early"))
	}
	return err
}

// enter counts a level of nesting; the caller calls leave.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return mistake(p.now.at, "an expression must not nest more than %d levels deep", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// expression is one or more comparisons that AND or OR joins. AWS does not document which of the
// two binds more tightly, so an expression with both needs parentheses.
func (p *parser) expression() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.comparison()
	for joins := ""; err == nil && p.at("AND", "&&", "OR", "||"); {
		op := map[string]string{"AND": "AND", "&&": "AND", "OR": "OR", "||": "OR"}[p.now.text]
		if joins != "" && joins != op {
			return nil, mistake(p.now.at, "AND and OR without parentheses: write which is evaluated first, which AWS does not "+
				"document")
		}
		joins = op
		x, err = p.operation(op, x, p.comparison)
	}
	return x, err
}

func (p *parser) comparison() (node, error) {
	comparisons := []string{"==", "!=", "<=", ">=", "<", ">"}
	x, err := p.sum()
	if err != nil || !p.at(comparisons...) {
		return x, err
	}
	x, err = p.operation(p.now.text, x, p.sum)
	if err == nil && p.at(comparisons...) {
		return nil, mistake(p.now.at, "a second comparison: write a < b AND b < c")
	}
	return x, err
}

func (p *parser) sum() (node, error) {
	x, err := p.product()
	for err == nil && p.at("+", "-") {
		x, err = p.operation(p.now.text, x, p.product)
	}
	return x, err
}

func (p *parser) product() (node, error) {
	x, err := p.power()
	for err == nil && p.at("*", "/") {
		x, err = p.operation(p.now.text, x, p.power)
	}
	return x, err
}

func (p *parser) power() (node, error) {
	x, err := p.unary()
	if err == nil && p.at("^") {
		return p.operation("^", x, p.unary)
	}
	return x, err
}

// operation reads the right side of an operator.
func (p *parser) operation(op string, x node, right func() (node, error)) (node, error) {
	at := p.now.at
	if err := p.advance(); err != nil {
		return nil, err
	}
	y, err := right()
	if err != nil {
		return nil, err
	}
	return newOperation(at, op, x, y)
}

func (p *parser) unary() (node, error) {
	if !p.at("-") {
		return p.primary()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.unary()
	if err != nil {
		return nil, err
	}
	return &negative{x}, nil
}

func (p *parser) primary() (node, error) {
	t := p.now
	switch {
	case t.is == number:
		return constant(t.number), p.advance()
	case t.is == name:
		if !slices.Contains(p.metrics, t.text) {
			p.metrics = append(p.metrics, t.text)
		}
		return &metric{t.text}, p.advance()
	case t.is == upper:
		return p.call()
	case p.at("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		return x, p.take(")")
	case p.at("["):
		elements, err := p.list("]")
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			if e.kind() != series {
				return nil, mistake(t.at, "an array has only time series")
			}
		}
		return &list{elements}, nil
	}
	return nil, p.expected("a metric, a number or a function")
}

// list reads elements, of which there is at least one, from an opening bracket to the closing one.
func (p *parser) list(closing string) (elements []node, err error) {
	for more := true; more; more = p.at(",") {
		if err := p.advance(); err != nil { // the bracket or the comma
			return nil, err
		}
		element, err := p.element()
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	return elements, p.take(closing)
}

// element is an expression, or a word that FILL takes.
func (p *parser) element() (node, error) {
	if p.at(string(repeat), string(linear)) {
		w := word(p.now.text)
		return w, p.advance()
	}
	return p.expression()
}

func (p *parser) call() (node, error) {
	t := p.now
	f, ok := functions[t.text]
	if !ok {
		return nil, unknownFunction(t)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.at("(") {
		return nil, p.expected("%q after %s", "(", t.text)
	}
	args, err := p.list(")")
	if err != nil {
		return nil, err
	}
	return f.call(t.at, args)
}
