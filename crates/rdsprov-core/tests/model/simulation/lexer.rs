//! Splits SQL into tokens, and reads them.

use super::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an unquoted name, in lower case.
    Word(String),
    Quoted(String),
    Literal(String),
    Number(String),
    Symbol(char),
}

/// Returns the tokens of each statement.
pub fn statements(sql: &str) -> Result<Vec<Vec<Token>>, Failure> {
    let mut all = vec![Vec::new()];
    for token in tokens(sql)? {
        if token == Token::Symbol(';') {
            all.push(Vec::new());
        } else if let Some(last) = all.last_mut() {
            last.push(token);
        }
    }
    all.retain(|one| !one.is_empty());
    Ok(all)
}

fn tokens(sql: &str) -> Result<Vec<Token>, Failure> {
    let unknown = || Failure::unknown(format!("tokens: {sql}"));
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let word = |from: &str| {
            from.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(from.len())
        };
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if let Some(body) = rest.strip_prefix("$$") {
            let end = body.find("$$").ok_or_else(unknown)?;
            tokens.push(Token::Literal(body[..end].to_owned()));
            rest = &body[end + 2..];
        } else if first == '"' {
            let (text, after) = delimited(&rest[1..], '"').ok_or_else(unknown)?;
            tokens.push(Token::Quoted(text));
            rest = after;
        } else if first == '\'' {
            let (text, after) = delimited(&rest[1..], '\'').ok_or_else(unknown)?;
            tokens.push(Token::Literal(text));
            rest = after;
        } else if let Some(body) = rest.strip_prefix("E'") {
            let (text, after) = delimited(body, '\'').ok_or_else(unknown)?;
            tokens.push(Token::Literal(text.replace("\\n", "\n").replace("\\\\", "\\")));
            rest = after;
        } else if first.is_ascii_digit() {
            let end = word(rest);
            tokens.push(Token::Number(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if first.is_alphabetic() || first == '_' {
            let end = word(rest);
            tokens.push(Token::Word(rest[..end].to_lowercase()));
            rest = &rest[end..];
        } else {
            tokens.push(Token::Symbol(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(tokens)
}

/// Returns the text before a quote, with doubled quotes as one, and the rest after it.
fn delimited(text: &str, quote: char) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(quote)?;
        content.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with(quote) {
            return Some((content, rest));
        }
        content.push(quote);
        rest = &rest[1..];
    }
}

/// Reads the tokens of one statement.
#[derive(Clone)]
pub struct Reader<'a> {
    tokens: &'a [Token],
}

impl<'a> Reader<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self { tokens }
    }

    /// The interpreter does not know the statement.
    pub fn unknown<T>(&self) -> Result<T, Failure> {
        Err(Failure::unknown(format!("{:?}", self.tokens)))
    }

    pub fn is_at_end(&self) -> bool {
        self.tokens.is_empty()
    }

    pub fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.first()
    }

    /// Returns whether a keyword is left at any place.
    pub fn contains(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| matches!(token, Token::Word(one) if one == word))
    }

    /// Reads keywords if they are next.
    pub fn accept(&mut self, words: &str) -> bool {
        let mut rest = self.tokens;
        for word in words.split(' ') {
            match rest.split_first() {
                Some((Token::Word(one), others)) if one == word => rest = others,
                _ => return false,
            }
        }
        self.tokens = rest;
        true
    }

    pub fn expect(&mut self, words: &str) -> Result<(), Failure> {
        if self.accept(words) { Ok(()) } else { self.unknown() }
    }

    pub fn symbol(&mut self, symbol: char) -> bool {
        let is_next = self.peek() == Some(&Token::Symbol(symbol));
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }

    pub fn name(&mut self) -> Result<String, Failure> {
        match self.peek() {
            Some(Token::Word(name) | Token::Quoted(name)) => {
                self.tokens = &self.tokens[1..];
                Ok(name.clone())
            }
            _ => self.unknown(),
        }
    }

    /// Reads a name with its schema.
    pub fn qualified(&mut self) -> Result<(String, String), Failure> {
        let schema = self.name()?;
        if self.symbol('.') { Ok((schema, self.name()?)) } else { self.unknown() }
    }

    pub fn literal(&mut self) -> Result<String, Failure> {
        match self.next() {
            Some(Token::Literal(text)) => Ok(text.clone()),
            _ => self.unknown(),
        }
    }

    /// Reads a number with its sign.
    pub fn number(&mut self) -> Result<i64, Failure> {
        let is_negative = self.symbol('-');
        match self.next() {
            Some(Token::Number(text)) => {
                let number: i64 = text.parse().or_else(|_| self.unknown())?;
                Ok(if is_negative { -number } else { number })
            }
            _ => self.unknown(),
        }
    }

    /// Reads a list with commas.
    pub fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut all = vec![one(self)?];
        while self.symbol(',') {
            all.push(one(self)?);
        }
        Ok(all)
    }
}
