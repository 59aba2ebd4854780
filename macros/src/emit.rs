//! The implementation of a tool's trait, as a person would write it.

use crate::function::Function;
use crate::options::Options;
use crate::output::Shape;
use crate::parameter::{Parameter, lifetime};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

/// The names of what is generated for one tool, side by side with those of others.
pub(crate) struct Names {
    pub(crate) tool: Ident,
    arguments: Ident,
    defaults: Ident,
    shape: Ident,
    turns: Ident,
}

impl Names {
    pub(crate) fn of(tool: Ident) -> Self {
        let (arguments, defaults) =
            (format_ident!("__Arguments{}", tool), format_ident!("__default_{}", tool));
        let (shape, turns) = (format_ident!("__SHAPE_{}", tool), format_ident!("__TURNS_{}", tool));
        Self { tool, arguments, defaults, shape, turns }
    }
}

/// A tool about to be written.
pub(crate) struct Tool<'t> {
    pub(crate) function: &'t Function,
    pub(crate) options: &'t Options,
    pub(crate) names: &'t Names,
    /// What the function is called by.
    pub(crate) callee: &'t TokenStream,
    /// The type has the turns of its calls in its second field; otherwise a static has them.
    pub(crate) has_own_turns: bool,
}

impl Tool<'_> {
    /// The type of the arguments, and the trait for the tool's type.
    pub(crate) fn implementation(&self) -> TokenStream {
        let (types, shape, definition) = (self.arguments_type(), self.shape(), self.definition());
        let turns = self.turns();
        let (tool, arguments) = (&self.names.tool, self.associated_arguments());
        let (interface, call) = if self.options.blocking {
            (quote!(BlockingTool), self.blocking_call())
        } else {
            (quote!(Tool), self.call())
        };
        quote! {
            #types
            #shape
            #turns

            #[automatically_derived]
            impl ::mcpool::#interface for #tool {
                type Arguments<'a> = #arguments;

                fn definition(&self) -> ::mcpool::ToolDefinition {
                    #definition
                }

                #call
            }
        }
    }

    fn has_fields(&self) -> bool {
        self.function.fields().next().is_some()
    }

    fn borrows(&self) -> bool {
        self.function.fields().any(|field| field.borrows)
    }

    /// The struct that arguments are decoded into, if the parameters are its fields.
    fn arguments_type(&self) -> TokenStream {
        if !self.has_fields() {
            return TokenStream::new();
        }
        let Names { tool, arguments, defaults, .. } = self.names;
        let fields = self.function.fields().map(|field| field.declaration(defaults));
        let functions = self.function.fields().filter_map(|field| field.default_item(defaults));
        let lifetime = lifetime();
        let generics = self.borrows().then(|| quote!(<#lifetime>));
        let title = format!("{}Arguments", tool.to_string().trim_start_matches('_'));
        quote! {
            #(#[allow(non_snake_case)] #functions)*

            #[derive(::mcpool::__private::serde::Deserialize, ::mcpool::__private::schemars::JsonSchema)]
            #[serde(crate = "::mcpool::__private::serde", expecting = "an object")]
            #[schemars(crate = "::mcpool::__private::schemars", rename = #title)]
            #[allow(non_camel_case_types)]
            pub struct #arguments #generics { #(#fields,)* }
        }
    }

    /// The type of the arguments, with the lifetime of the trait.
    fn associated_arguments(&self) -> TokenStream {
        if let Some(whole) = self.function.whole() {
            return whole.ty.clone();
        }
        let arguments = &self.names.arguments;
        match (self.has_fields(), self.borrows()) {
            (false, _) => quote!(::mcpool::__private::NoArguments),
            (true, false) => quote!(#arguments),
            (true, true) => quote!(#arguments<'a>),
        }
    }

    /// The static that knows how the answer is written.
    fn shape(&self) -> TokenStream {
        let shape = &self.names.shape;
        match self.function.output.shape {
            Shape::Structured(_) => quote! {
                #[allow(non_upper_case_globals)]
                static #shape: ::mcpool::__private::AnswerShape = ::mcpool::__private::AnswerShape::new();
            },
            Shape::Written | Shape::Text => TokenStream::new(),
        }
    }

    /// The static that knows whose turn it is, where nothing else does.
    fn turns(&self) -> TokenStream {
        let turns = &self.names.turns;
        match &self.options.max_concurrent {
            Some(most) if !self.has_own_turns => quote! {
                #[allow(non_upper_case_globals)]
                static #turns: ::mcpool::AtMost = ::mcpool::AtMost::new(#most);
            },
            _ => TokenStream::new(),
        }
    }

    /// A call within the limits of the tool.
    fn limited(&self, future: TokenStream) -> TokenStream {
        let turns = if self.has_own_turns {
            quote!(&self.1)
        } else {
            let turns = &self.names.turns;
            quote!(&#turns)
        };
        let future = match &self.options.max_concurrent {
            Some(_) => quote!(async move {
                let __turn = ::mcpool::__private::turn(#turns).await?;
                #future.await
            }),
            None => future,
        };
        match &self.options.timeout_ms {
            Some(limit) => quote!(::mcpool::__private::in_time(
                const { ::core::time::Duration::from_millis(#limit) },
                #future,
            )),
            None => future,
        }
    }

    fn definition(&self) -> TokenStream {
        let Function { name, description, .. } = self.function;
        let options = self.options;
        let mut definition = quote!(::mcpool::ToolDefinition::new(#name, #description));
        if let Some(title) = &options.title {
            definition.extend(quote!(.title(#title)));
        }
        if let Some(whole) = self.function.whole() {
            // An error about the schema belongs to the type of the parameter.
            definition.extend(quote_spanned!(whole.span=> .arguments::<Self::Arguments<'_>>()));
        } else if self.has_fields() {
            definition.extend(quote!(.arguments::<Self::Arguments<'_>>()));
        }
        let hints = [options.read_only, options.destructive, options.idempotent, options.open_world];
        if hints.iter().any(Option::is_some) {
            let hints = hints.map(|hint| {
                hint.map_or_else(
                    || quote!(::core::option::Option::None),
                    |hint| quote!(::core::option::Option::Some(#hint)),
                )
            });
            definition.extend(quote!(.annotations(::mcpool::__private::annotations([#(#hints),*]))));
        }
        match &self.function.output.shape {
            Shape::Structured(ty) => {
                let shape = &self.names.shape;
                quote!(#shape.declare::<#ty>(#definition))
            }
            Shape::Written | Shape::Text => definition,
        }
    }

    /// The call of the function.
    fn invocation(&self) -> TokenStream {
        let (callee, given) = (self.callee, self.function.parameters.iter().map(Parameter::expression));
        quote!(#callee(#(#given),*))
    }

    /// The method `call` of the trait: the future of the function itself where it can be, and as little around it as
    /// possible otherwise, since each waiting request holds it.
    fn call(&self) -> TokenStream {
        let Function { output, parameters, .. } = self.function;
        let (invocation, conversion) = (self.invocation(), output.conversion(&self.names.shape));
        let keeps_arguments = parameters.iter().any(Parameter::is_by_reference);
        let has_context = parameters.iter().any(|parameter| matches!(parameter, Parameter::Context { .. }));
        let future = if !self.function.is_async {
            quote!(async move {
                let __value = #invocation;
                #conversion
            })
        } else if keeps_arguments || has_context && output.writes_answer() {
            quote!(async move {
                let __value = #invocation.await;
                #conversion
            })
        } else if output.is_of_trait() {
            invocation
        } else {
            quote!(::mcpool::__private::then(#invocation, move |__value| #conversion))
        };
        let future = self.limited(future);
        quote! {
            #[allow(unused_variables, clippy::manual_async_fn)]
            fn call<'a>(
                &'a self,
                __arguments: Self::Arguments<'a>,
                __call: &mut ::mcpool::CallContext,
            ) -> impl ::core::future::Future<Output = ::core::result::Result<(), ::mcpool::ToolError>> + ::core::marker::Send
            {
                #future
            }
        }
    }

    fn blocking_call(&self) -> TokenStream {
        let (invocation, conversion) =
            (self.invocation(), self.function.output.conversion(&self.names.shape));
        quote! {
            #[allow(unused_variables)]
            fn call(
                &self,
                __arguments: Self::Arguments<'_>,
                __call: &mut ::mcpool::CallContext,
            ) -> ::core::result::Result<(), ::mcpool::ToolError> {
                let __value = #invocation;
                #conversion
            }
        }
    }
}
