// SPDX-License-Identifier: GPL-2.0

mod names;
mod text;
mod tree;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let uses = names::collect(std::path::Path::new("."))?;
    let tree = tree::Tree::search(std::path::Path::new(&args[1]), uses.keys().map(String::as_str))?;
    for (name, found) in &uses {
        match tree.body(name, None) {
            Some(b) => println!("{name} {} {} lines {} calls {} comments; others: {:?}", b.files, b.text.lines().count(), found.calls.len(), found.comments.len(), b.others),
            None => println!("NOTFOUND {name} {} {}", found.calls.len(), found.place()),
        }
    }
    Ok(())
}
